/*
 * What the kernel does with sockets and Node has no function for, as a module that is loaded into the server itself. The few
 * lines of Node-API that it needs are declared here: they are the same in every Node, and its headers are not everywhere.
 * Each function returns 0, or the errno of what failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct env *Env;
typedef struct value *Value;
typedef struct call *Call;
extern int napi_get_cb_info(Env, Call, size_t *count, Value *given, Value *self, void **data);
extern int napi_get_value_string_utf8(Env, Value, char *into, size_t size, size_t *length);
extern int napi_create_int32(Env, int32_t, Value *made);
extern int napi_create_function(Env, const char *name, size_t length, Value (*work)(Env, Call), void *data, Value *made);
extern int napi_set_named_property(Env, Value object, const char *name, Value value);

static Value number(Env env, int of) {
  Value made = NULL;
  napi_create_int32(env, of, &made);
  return made;
}

/* notify(address, text): one datagram. An address that begins with @ is one of the abstract ones. */
static Value notify(Env env, Call call) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  char text[4096];
  size_t count = 2, pathLength = 0, length = 0;
  Value given[2] = {NULL, NULL};
  if (napi_get_cb_info(env, call, &count, given, NULL, NULL) || count < 2) return number(env, EINVAL);
  if (napi_get_value_string_utf8(env, given[0], to.sun_path, sizeof to.sun_path, &pathLength)) return number(env, EINVAL);
  if (napi_get_value_string_utf8(env, given[1], text, sizeof text, &length)) return number(env, EINVAL);
  if (pathLength == 0 || pathLength > sizeof to.sun_path - 2) return number(env, ENAMETOOLONG);
  if (to.sun_path[0] == '@') to.sun_path[0] = 0;
  int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (from < 0) return number(env, errno);
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + pathLength;
  /* Who reads these keeps the server waiting for none of them: a queue that is full loses one. */
  ssize_t sent = sendto(from, text, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size);
  int fault = sent < 0 ? errno : 0;
  close(from);
  return number(env, fault);
}

static void offer(Env env, Value exports, const char *name, Value (*work)(Env, Call)) {
  Value made;
  if (napi_create_function(env, name, strlen(name), work, NULL, &made) == 0) napi_set_named_property(env, exports, name, made);
}

Value napi_register_module_v1(Env env, Value exports) {
  offer(env, exports, "notify", notify);
  return exports;
}
