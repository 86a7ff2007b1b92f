/*
 * What sshd starts in place of Node: `cpm-forced --data-dir DIR shell --key-id ID`, and `authorized-keys` likewise. It hands
 * its three streams to the server that runs on DIR, as the frames of ../local/frames.ts, and ends as the server says. Where
 * none listens it becomes `node cpm.cjs` with the same words; of its environment nothing goes on but the variables below.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STDIN = 1, INTERRUPT = 2, STDERR = 4, EXIT = 5, FORCED = 6 };
enum { HEAD = 5, CHUNK = 65536, PIPE = 4096, UNAVAILABLE = 6 };

static const char *const passed[] = {"SSH_ORIGINAL_COMMAND", "SSH_CONNECTION", "GIT_PROTOCOL"};
static volatile sig_atomic_t caught;

static void catchSignal(int number) { caught = number; }
static int fail(const char *what) {
  dprintf(2, "cpm: %s\nhint: try again soon\n", what);
  return UNAVAILABLE;
}

static void putHead(unsigned char *at, int kind, size_t length) {
  memcpy(at, (unsigned char[]){kind, length >> 24, length >> 16, length >> 8, length}, HEAD);
}

/* Node does the same, only slower. cpm.cjs lies beside this program; Node too, or where it was when this was compiled. */
static int becomeNode(int count, char **words) {
  char folder[4000], node[4100], program[4100], *argv[count + 2];
  const char *values[3];
  ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
  if (length <= 0) return fail("this program does not find itself");
  while (folder[--length] != '/');
  snprintf(node, sizeof node, "%.*s/node", (int)length, folder);
  snprintf(program, sizeof program, "%.*s/cpm.cjs", (int)length, folder);
  for (int i = 0; i < 3; i++) values[i] = getenv(passed[i]);
  clearenv();
  setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
  for (int i = 0; i < 3; i++)
    if (values[i]) setenv(passed[i], values[i], 1);
  argv[0] = access(node, X_OK) == 0 ? node : NODE;
  argv[1] = program;
  memcpy(argv + 2, words + 1, count * sizeof *argv);
  execv(argv[0], argv);
  return fail("Node does not start");
}

/* A path may be too long for an address: it is named through its folder. @returns -1 where no server listens */
static int reach(const char *dataDir) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int top = open(dataDir, O_PATH | O_CLOEXEC), server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/run/cpm.sock", top);
  int found = top < 0 || server < 0 ? -1 : connect(server, (struct sockaddr *)&to, sizeof to);
  return found < 0 ? -1 : server;
}

/* The three variables, an empty text, the words: each with a zero byte behind it. @returns whether it was sent */
static int ask(int server, char **words) {
  char *request;
  size_t length;
  FILE *all = open_memstream(&request, &length);
  if (!all) return 0;
  fwrite("\0\0\0\0", 1, HEAD, all);
  for (int i = 0; i < 3; i++)
    if (getenv(passed[i])) fprintf(all, "%s=%s%c", passed[i], getenv(passed[i]), 0);
  fputc(0, all);
  while (*++words) fprintf(all, "%s%c", *words, 0);
  fclose(all);
  putHead((unsigned char *)request, FORCED, length - HEAD);
  return send(server, request, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* Never waits: a socket takes what it can, and a pipe that poll calls writable takes 4 KB. @returns 0 for not now */
static ssize_t put(int to, const unsigned char *bytes, size_t length) {
  ssize_t done = send(to, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (done < 0 && errno == ENOTSOCK) done = write(to, bytes, length < PIPE ? length : PIPE);
  return done < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : done;
}

/* Passes bytes on until the server has told the exit status. @param open - the signals let in while it waits */
static int relay(int server, const sigset_t *open) {
  unsigned char up[CHUNK + 2 * HEAD], down[CHUNK], head[HEAD];
  size_t upAt = 0, upEnd = 0, downAt = 0, downEnd = 0, known = 0, left = 0;
  int input = 1, interrupted = 0, status = 0;
  for (;;) {
    int waiting = downAt < downEnd, to = waiting && head[0] == STDERR ? 2 : 1;
    if (caught && !interrupted) putHead(up + upEnd, INTERRUPT, 0), upEnd += HEAD, interrupted = 1;
    struct pollfd at[3] = {{input && upAt == upEnd ? 0 : -1, POLLIN, 0},
                           {waiting && upAt == upEnd ? -1 : server, (waiting ? 0 : POLLIN) | (upAt < upEnd ? POLLOUT : 0), 0},
                           {to, waiting ? POLLOUT : 0, 0}};
    if (ppoll(at, 3, NULL, open) < 0) continue;
    /* Whoever read the output is gone; the server hears of it by the end of this process. */
    if (to == 1 && at[2].revents & (POLLERR | POLLHUP | POLLNVAL)) return UNAVAILABLE;
    if (at[0].revents) {
      ssize_t got = read(0, up + HEAD, CHUNK);
      putHead(up, STDIN, got > 0 ? got : 0);
      input = got > 0, upAt = 0, upEnd = HEAD + (got > 0 ? got : 0);
    }
    if (at[1].revents & POLLOUT) {
      ssize_t sent = put(server, up + upAt, upEnd - upAt);
      upAt = sent < 0 ? upEnd : upAt + sent;
      if (upAt == upEnd) upAt = upEnd = 0;
    }
    if (at[1].revents & (POLLIN | POLLHUP) && !waiting) {
      ssize_t got = recv(server, down, CHUNK, 0);
      if (got <= 0) return fail("the server went away before it answered");
      downAt = 0, downEnd = got;
    }
    while (downAt < downEnd) {
      size_t done = 1, most = downEnd - downAt < left ? downEnd - downAt : left;
      if (known < HEAD) left = known ? left << 8 | down[downAt] : 0, head[known++] = down[downAt];
      else if (head[0] == EXIT) status = status * 10 + down[downAt] - '0', left--;
      else {
        ssize_t taken = put(to = head[0] == STDERR ? 2 : 1, down + downAt, most);
        if (taken == 0) break;
        if (taken < 0 && to == 1) return UNAVAILABLE;
        done = taken < 0 ? most : (size_t)taken, left -= done;
      }
      downAt += done;
      if (known < HEAD || left > 0) continue;
      if (head[0] == EXIT) return caught ? 128 + caught : status;
      known = 0;
    }
  }
}

int main(int count, char **words) {
  const char *dataDir = NULL;
  const int signals[] = {SIGHUP, SIGINT, SIGTERM};
  sigset_t held, open;
  for (int i = 1; i < count; i++)
    if (!strcmp(words[i], "--data-dir")) dataDir = words[i + 1];
  int server = dataDir ? reach(dataDir) : -1;
  if (server < 0) return becomeNode(count, words);
  sigemptyset(&held);
  for (int i = 0; i < 3; i++) {
    sigaddset(&held, signals[i]);
    sigaction(signals[i], &(struct sigaction){.sa_handler = catchSignal, .sa_flags = SA_RESETHAND}, NULL);
  }
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_BLOCK, &held, &open);
  return ask(server, words) ? relay(server, &open) : fail("the server did not take the request");
}
