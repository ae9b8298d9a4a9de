/* Load generator for check-ins over HTTPS: one thread, epoll, TLS 1.3 (tls.h), loopback.

   Requests are read from a file and each is used once, in order: a check-in cannot be sent twice, its
   sequence number is spent (--repeat is for servers that do not mind). The file is a series of (length: 32 bits, little endian; bytes of one whole
   HTTP request). When it is exhausted the run ends early and says so.

   Closed loop (no --rate): every connection asks again as soon as it has its answer.
   Open loop (--rate R): requests fall due as a Poisson process of R per second, whatever the server does.
   Latency is counted from the moment a request fell due, not from when it could be sent, so a server that
   stalls is charged for everybody it kept waiting.

   Prints START and END around the measured window, then one line of JSON; the reader measures the server.

   build: cc -O2 -Wall -Wextra -o load load.c tls.c -lcrypto -lm */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tls.h"

enum { ANSWER_ROOM = 16384, EVENTS = 512, SOURCES = 200, STATUSES = 600 };
static const double DRAIN_SECONDS = 5.0;

static struct {
  int port, connections;
  double warm, seconds, rate;
  bool keep_alive, repeat;
  const char *requests, *acknowledged;
  size_t first;
  long give_up;
} opt = {.connections = 64, .warm = 1, .seconds = 5, .give_up = 5000};

static struct {
  const unsigned char *bytes;
  size_t *at; /* offset of each request's length field */
  size_t count, next;
} requests;

typedef struct connection {
  enum { IDLE, BUSY } phase;
  int fd;
  bool greeted; /* the request of this round is sealed */
  tls_client tls;
  size_t request, sent, got; /* sent: of what the TLS client has to send */
  double due;
  struct connection *next_idle;
  char answer[ANSWER_ROOM + 1];
} connection;

static struct {
  long answered, handshakes, failed, unfinished, status[STATUSES];
  float *latency;
  size_t latencies, latency_room;
} tally;

static connection *idle;
static int poller, busy;
static double window_start, window_end;
static FILE *acknowledged;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static _Noreturn void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
  exit(1);
}

/* ---- requests ---- */

static uint32_t length_of(size_t i) {
  uint32_t n;
  memcpy(&n, requests.bytes + requests.at[i], sizeof n);
  return n;
}

static const unsigned char *bytes_of(size_t i) { return requests.bytes + requests.at[i] + sizeof(uint32_t); }

static void open_requests(void) {
  int fd = open(opt.requests, O_RDONLY);
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) < 0) die(opt.requests);
  size_t size = (size_t)facts.st_size, room = 0;
  requests.bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (requests.bytes == MAP_FAILED) die("mmap");
  for (size_t offset = 0; offset + sizeof(uint32_t) <= size; requests.count++) {
    if (requests.count == room) {
      room = room ? room * 2 : 1 << 16;
      requests.at = realloc(requests.at, room * sizeof *requests.at);
      if (!requests.at) die("memory");
    }
    requests.at[requests.count] = offset;
    offset += sizeof(uint32_t) + length_of(requests.count);
    if (offset > size) die("the requests file is cut off");
  }
  requests.next = opt.first;
}

/* ---- one connection ---- */

static bool exhausted(void) { return requests.next >= requests.count && !opt.repeat; }
static size_t take_request(void) { return requests.next++ % requests.count; }

static bool counts(double t) { return t >= window_start && t < window_end; }

static bool flush(connection *c) {
  while (c->sent < c->tls.to_send_length) {
    ssize_t n = send(c->fd, c->tls.to_send + c->sent, c->tls.to_send_length - c->sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == ENOTCONN;
    c->sent += (size_t)n;
  }
  c->sent = c->tls.to_send_length = 0;
  return true;
}

static void disconnect(connection *c) {
  if (c->fd < 0) return;
  if (c->phase == IDLE) {
    tls_close(&c->tls);
    flush(c);
  }
  close(c->fd);
  c->fd = -1;
}

static void rest(connection *c) {
  c->phase = IDLE;
  c->next_idle = idle;
  idle = c;
  busy--;
}

static void fail(connection *c) {
  tally.failed++;
  disconnect(c);
  rest(c);
}

/* The source address varies so that one address does not run out of ports. */
static bool open_socket(connection *c, size_t serial) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
  struct sockaddr_in from = {.sin_family = AF_INET};
  int on = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(serial % SOURCES));
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return false;
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0) return false;
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) return false;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  return epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

/* Length of the whole answer once its head is here, else 0; -1 if it cannot be told. */
static long answer_length(connection *c) {
  c->answer[c->got] = 0;
  char *end = strstr(c->answer, "\r\n\r\n");
  if (!end) return c->got == ANSWER_ROOM ? -1 : 0;
  char *field = strcasestr(c->answer, "\r\ncontent-length:");
  if (!field || field > end) return -1;
  return (end - c->answer) + 4 + atol(field + 17);
}

static void note_latency(double seconds) {
  if (tally.latencies == tally.latency_room) {
    tally.latency_room = tally.latency_room ? tally.latency_room * 2 : 1 << 16;
    tally.latency = realloc(tally.latency, tally.latency_room * sizeof *tally.latency);
    if (!tally.latency) die("memory");
  }
  tally.latency[tally.latencies++] = (float)seconds;
}

static void finish(connection *c) {
  double t = now();
  int status = atoi(c->answer + 9);
  if (status < 0 || status >= STATUSES) status = 0;
  if (counts(t)) {
    tally.answered++;
    tally.status[status]++;
  }
  if (counts(c->due)) note_latency(t - c->due);
  if (status == 200 && acknowledged) fprintf(acknowledged, "%zu\n", c->request);
  if (status != 200 && tally.status[status] == 1) fprintf(stderr, "load: first %d: %.600s\n", status, c->answer);
  bool closing = strcasestr(c->answer, "\r\nconnection: close") != NULL;
  rest(c);
  if (!opt.keep_alive || closing) disconnect(c);
}

/* Seal the request once the handshake is done; our Finished has left in a packet of its own, as it does
   with any client that shakes hands first and speaks then. */
static bool speak(connection *c) {
  if (c->greeted || c->tls.phase != TLS_OPEN) return true;
  c->greeted = true;
  return flush(c) && tls_send(&c->tls, bytes_of(c->request), length_of(c->request)) && flush(c);
}

/* Read what has arrived; false when the connection is of no more use. */
static bool listen_to(connection *c) {
  tls_client *t = &c->tls;
  for (;;) {
    ssize_t n = recv(c->fd, t->received + t->received_length, sizeof t->received - t->received_length, 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    bool shaking_hands = t->phase != TLS_OPEN;
    t->received_length += (size_t)n;
    long got = tls_receive(t, (uint8_t *)c->answer + c->got, ANSWER_ROOM - c->got);
    if (got < 0) return false;
    c->got += (size_t)got;
    if (shaking_hands && t->phase == TLS_OPEN && counts(now())) tally.handshakes++;
    if (!speak(c)) return false;
    long whole = answer_length(c);
    if (whole < 0 || whole > ANSWER_ROOM) return false;
    if (whole > 0 && (long)c->got >= whole) {
      finish(c);
      return true;
    }
  }
}

static void proceed(connection *c) {
  if (!flush(c) || !listen_to(c)) fail(c);
}

/* Take the next request and an idle connection, and go. */
static void start(double due) {
  connection *c = idle;
  idle = c->next_idle;
  busy++;
  c->request = take_request();
  c->got = 0;
  c->due = due;
  c->phase = BUSY;
  c->greeted = false;
  if (c->fd < 0) {
    c->sent = 0;
    tls_start(&c->tls);
    if (!open_socket(c, c->request)) {
      fail(c);
      return;
    }
  } else if (!speak(c)) {
    fail(c);
    return;
  }
  proceed(c);
}

/* ---- the run ---- */

static double gap(void) { return -log(1.0 - drand48()) / opt.rate; }

static void wait_for_events(double seconds) {
  struct epoll_event events[EVENTS];
  if (seconds < 0) seconds = 0;
  struct timespec limit = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
  int n = epoll_pwait2(poller, events, EVENTS, &limit, NULL);
  for (int i = 0; i < n; i++) {
    connection *c = events[i].data.ptr;
    if (c->fd < 0) continue;
    if (c->phase != IDLE) proceed(c);
    else if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) disconnect(c); /* the server let go of it */
  }
}

static void drain(void) {
  double until = now() + DRAIN_SECONDS;
  while (busy > 0 && now() < until) wait_for_events(0.01);
  tally.unfinished += busy;
}

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double percentile_ms(double share) {
  if (!tally.latencies) return 0;
  size_t rank = (size_t)ceil(share * (double)tally.latencies);
  return 1e3 * (double)tally.latency[rank ? rank - 1 : 0];
}

static void report(double elapsed, double cpu) {
  qsort(tally.latency, tally.latencies, sizeof *tally.latency, ascending);
  printf("{\"answered\":%ld,\"seconds\":%.4f,\"per_second\":%.1f,\"failed\":%ld,\"unfinished\":%ld,\"handshakes\":%ld,",
         tally.answered, elapsed, (double)tally.answered / elapsed, tally.failed, tally.unfinished, tally.handshakes);
  printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"client_cpu_s\":%.4f,\"next\":%zu,\"exhausted\":%s,\"status\":{",
         percentile_ms(0.5), percentile_ms(0.99), percentile_ms(1), cpu, requests.next, exhausted() ? "true" : "false");
  const char *comma = "";
  for (int s = 0; s < STATUSES; s++)
    if (tally.status[s]) printf("%s\"%d\":%ld", comma, s, tally.status[s]), comma = ",";
  printf("}}\n");
}

static void run(void) {
  double begin = now(), due = begin, cpu = 0, started = 0;
  window_start = begin + opt.warm;
  window_end = window_start + opt.seconds;
  for (;;) {
    double t = now();
    if (!started && t >= window_start) {
      started = t;
      cpu = cpu_seconds();
      puts("START");
      fflush(stdout);
    }
    if (opt.rate > 0)
      for (; idle && due <= t && due < window_end && !exhausted(); due += gap()) start(due);
    if (t >= window_end || exhausted() || tally.failed >= opt.give_up) break;
    if (opt.rate > 0) {
      wait_for_events(idle ? fmin(due - now(), 0.05) : 0.001);
    } else {
      while (idle && !exhausted() && tally.failed < opt.give_up) {
        start(now());
        if (now() >= window_end || busy == 0) break; /* not busy: nobody listens, do not spin */
      }
      wait_for_events(busy ? 0.01 : 0.001);
    }
  }
  double ended = now();
  for (; opt.rate > 0 && !exhausted() && !idle && due < window_end; due += gap()) tally.unfinished++;
  window_end = fmin(window_end, ended);
  cpu = cpu_seconds() - cpu;
  puts("END");
  fflush(stdout);
  drain();
  report(started ? ended - started : 1e-9, cpu);
}

static void read_options(int argc, char **argv) {
  static const struct option known[] = {
      {"port", 1, 0, 'p'},       {"requests", 1, 0, 'f'}, {"connections", 1, 0, 'c'}, {"warm", 1, 0, 'w'},
      {"seconds", 1, 0, 's'},    {"rate", 1, 0, 'r'},     {"keep-alive", 0, 0, 'k'},  {"acknowledged", 1, 0, 'a'},
      {"first", 1, 0, 'i'},      {"give-up", 1, 0, 'g'},  {"repeat", 0, 0, 'R'},  {0, 0, 0, 0}};
  for (int o; (o = getopt_long(argc, argv, "", known, NULL)) != -1;) switch (o) {
      case 'p': opt.port = atoi(optarg); break;
      case 'f': opt.requests = optarg; break;
      case 'c': opt.connections = atoi(optarg); break;
      case 'w': opt.warm = atof(optarg); break;
      case 's': opt.seconds = atof(optarg); break;
      case 'r': opt.rate = atof(optarg); break;
      case 'k': opt.keep_alive = true; break;
      case 'a': opt.acknowledged = optarg; break;
      case 'i': opt.first = (size_t)atoll(optarg); break;
      case 'R': opt.repeat = true; break;
      case 'g': opt.give_up = atol(optarg); break;
      default: opt.port = 0; optind = argc; /* not an option of ours: say which there are */
    }
  if (!opt.port || !opt.requests || opt.connections < 1) {
    fprintf(stderr, "load --port P --requests FILE [--connections N] [--keep-alive] [--rate R] [--warm S] "
                    "[--seconds S] [--first INDEX] [--repeat] [--acknowledged FILE] [--give-up N]\n");
    exit(2);
  }
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  open_requests();
  poller = epoll_create1(EPOLL_CLOEXEC);
  srand48(1);
  connection *all = calloc((size_t)opt.connections, sizeof *all);
  if (!all || !requests.count) die(all ? "no requests" : "memory");
  if (opt.acknowledged && !(acknowledged = fopen(opt.acknowledged, "w"))) die(opt.acknowledged);
  for (int i = opt.connections; i-- > 0;) {
    all[i].fd = -1;
    if (!tls_init(&all[i].tls)) die("libcrypto");
    all[i].next_idle = idle;
    idle = &all[i];
  }
  run();
  if (acknowledged && fclose(acknowledged) != 0) die(opt.acknowledged);
  return tally.failed >= opt.give_up ? 3 : 0;
}
