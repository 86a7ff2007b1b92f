/*
 * What the kernel does with sockets and Node has no function for, as a module that is loaded into the server itself. The few
 * lines of Node-API that it needs are declared here: they are the same in every Node, and its headers are not everywhere.
 * Each function returns 0 or more, or a negative errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 64, PATIENCE = 10 };

typedef struct env *Env;
typedef struct value *Value;
typedef struct call *Call;
extern int napi_get_cb_info(Env, Call, size_t *count, Value *given, Value *self, void **data);
extern int napi_get_value_string_utf8(Env, Value, char *into, size_t size, size_t *length);
extern int napi_get_value_int32(Env, Value, int32_t *into);
extern int napi_get_buffer_info(Env, Value, void **bytes, size_t *length);
extern int napi_create_int32(Env, int32_t, Value *made);
extern int napi_create_array(Env, Value *made);
extern int napi_set_element(Env, Value array, uint32_t at, Value value);
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
  if (napi_get_cb_info(env, call, &count, given, NULL, NULL) || count < 2) return number(env, -EINVAL);
  if (napi_get_value_string_utf8(env, given[0], to.sun_path, sizeof to.sun_path, &pathLength)) return number(env, -EINVAL);
  if (napi_get_value_string_utf8(env, given[1], text, sizeof text, &length)) return number(env, -EINVAL);
  if (pathLength == 0 || pathLength > sizeof to.sun_path - 2) return number(env, -ENAMETOOLONG);
  if (to.sun_path[0] == '@') to.sun_path[0] = 0;
  int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (from < 0) return number(env, -errno);
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + pathLength;
  /* Who reads these keeps the server waiting for none of them: a queue that is full loses one. */
  ssize_t sent = sendto(from, text, length, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to, size);
  int fault = sent < 0 ? -errno : 0;
  close(from);
  return number(env, fault);
}

/* duplicate(fd): another descriptor of the same socket, which no child gets. */
static Value duplicate(Env env, Call call) {
  Value given = NULL;
  size_t count = 1;
  int32_t fd = -1;
  if (napi_get_cb_info(env, call, &count, &given, NULL, NULL) || napi_get_value_int32(env, given, &fd)) return number(env, -EINVAL);
  int made = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return number(env, made < 0 ? -errno : made);
}

/* acknowledge(fd): what comes next over TCP is acknowledged as it comes, until something is said there again. */
static Value acknowledge(Env env, Call call) {
  Value given = NULL;
  size_t count = 1;
  int32_t fd = -1;
  int on = 1;
  if (napi_get_cb_info(env, call, &count, &given, NULL, NULL) || napi_get_value_int32(env, given, &fd)) return number(env, -EINVAL);
  return number(env, setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) ? -errno : 0);
}

/* give(connection, fd, …): hands descriptors to whoever is at the other end of a Unix socket, with a byte of no meaning. */
static Value give(Env env, Call call) {
  Value given[MOST + 1];
  size_t count = MOST + 1;
  int32_t connection = -1, fd = -1;
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(MOST * sizeof(int))];
  } control = {.room = {0}};
  if (napi_get_cb_info(env, call, &count, given, NULL, NULL) || count < 2 || count > MOST + 1) return number(env, -EINVAL);
  if (napi_get_value_int32(env, given[0], &connection)) return number(env, -EINVAL);
  size_t length = (count - 1) * sizeof(int);
  control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(length)};
  for (size_t i = 1; i < count; i++) {
    if (napi_get_value_int32(env, given[i], &fd)) return number(env, -EINVAL);
    memcpy(CMSG_DATA(&control.head) + (i - 1) * sizeof fd, &fd, sizeof fd);
  }
  struct iovec byte = {.iov_base = "+", .iov_len = 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = CMSG_SPACE(length)};
  return number(env, sendmsg(connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0);
}

/* take(path, first): sends some bytes to a Unix socket and waits for what `give` hands over. @returns [connection, fd, …] */
static Value take(Env env, Call call) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  Value given[2] = {NULL, NULL}, array = NULL;
  size_t count = 2, length = 0;
  void *first = NULL;
  if (napi_get_cb_info(env, call, &count, given, NULL, NULL) || count < 2) return number(env, -EINVAL);
  if (napi_get_value_string_utf8(env, given[0], to.sun_path, sizeof to.sun_path, &length)) return number(env, -EINVAL);
  if (length > sizeof to.sun_path - 2) return number(env, -ENAMETOOLONG);
  if (napi_get_buffer_info(env, given[1], &first, &length)) return number(env, -EINVAL);
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(MOST * sizeof(int))];
  } control;
  char byte;
  struct iovec into = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control};
  const struct timeval patience = {.tv_sec = PATIENCE};
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = -1;
  if (connection < 0) return number(env, -errno);
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(connection, (struct sockaddr *)&to, sizeof to) == 0 && send(connection, first, length, MSG_NOSIGNAL) == (ssize_t)length)
    got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  if (got <= 0 || napi_create_array(env, &array)) {
    int fault = got < 0 ? -errno : -ECONNRESET;
    close(connection);
    return number(env, fault);
  }
  napi_set_element(env, array, 0, number(env, connection));
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  size_t taken = head && head->cmsg_type == SCM_RIGHTS ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
  for (size_t i = 0; i < taken; i++) {
    int fd;
    memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
    napi_set_element(env, array, i + 1, number(env, fd));
  }
  return array;
}

static void offer(Env env, Value exports, const char *name, Value (*work)(Env, Call)) {
  Value made;
  if (napi_create_function(env, name, strlen(name), work, NULL, &made) == 0) napi_set_named_property(env, exports, name, made);
}

Value napi_register_module_v1(Env env, Value exports) {
  offer(env, exports, "notify", notify);
  offer(env, exports, "duplicate", duplicate);
  offer(env, exports, "acknowledge", acknowledge);
  offer(env, exports, "give", give);
  offer(env, exports, "take", take);
  return exports;
}
