// proxy LISTEN_SOCKET TARGET_SOCKET COUNTS_FILE
// Passes HTTP between a client and the agent over unix sockets and writes what each request cost: a line
// "<method> <path> <bytes of the body> <bytes sent> <bytes received>" when the next request of the connection begins
// or the connection ends. Runs until it is killed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { kMostConnections = 64 };

// Where a request's bytes are: its head, a body of known length, or a chunked one.
enum Where { head, body, chunk_size, chunk_data, chunk_end, trailer };

struct Connection {
  int client, agent;
  enum Where where;
  char line[8192];  // of the head or of a chunk's size, as far as it has come
  size_t line_length;
  int first_line, chunked;
  long long left;  // of the body or the chunk
  char request[1024];
  long long body_bytes, sent, received;
};

static struct Connection connections[kMostConnections];
static int count;
static int counts_file;

static void report(struct Connection* c) {
  if (c->request[0] == '\0') return;
  dprintf(counts_file, "%s %lld %lld %lld\n", c->request, c->body_bytes, c->sent, c->received);
  c->request[0] = '\0';
}

static void begin_request(struct Connection* c) {
  report(c);
  c->body_bytes = c->received = 0;
  c->sent = (long long)c->line_length + 1;  // and its '\r'; the '\n' is counted like any other byte
  c->left = 0;
  c->chunked = 0;
  char* version = strrchr(c->line, ' ');
  if (version != NULL) *version = '\0';
  snprintf(c->request, sizeof c->request, "%.1000s", c->line);
}

static void end_of_head(struct Connection* c) {
  c->first_line = 1;
  c->where = c->chunked ? chunk_size : c->left > 0 ? body : head;
}

static void take_line(struct Connection* c) {
  if (c->line_length > 0 && c->line[c->line_length - 1] == '\r') --c->line_length;
  c->line[c->line_length] = '\0';
  switch (c->where) {
    case head:
      if (c->first_line) {
        if (c->line_length > 0) begin_request(c), c->first_line = 0;
      } else if (c->line_length == 0) {
        end_of_head(c);
      } else if (strncasecmp(c->line, "content-length:", 15) == 0) {
        c->left = atoll(c->line + 15);
      } else if (strncasecmp(c->line, "transfer-encoding:", 18) == 0 && strcasestr(c->line, "chunked") != NULL) {
        c->chunked = 1;
      }
      break;
    case chunk_size:
      c->left = strtoll(c->line, NULL, 16);
      c->where = c->left > 0 ? chunk_data : trailer;
      break;
    case chunk_end:
      c->where = chunk_size;
      break;
    case trailer:
      if (c->line_length == 0) c->where = head;
      break;
    default:
      break;
  }
  c->line_length = 0;
}

static void follow(struct Connection* c, const char* data, size_t length) {
  for (size_t at = 0; at < length;) {
    if (c->where == body || c->where == chunk_data) {
      const long long take = (long long)(length - at) < c->left ? (long long)(length - at) : c->left;
      at += (size_t)take;
      c->left -= take;
      c->sent += take;
      c->body_bytes += take;
      if (c->left == 0) c->where = c->where == body ? head : chunk_end;
      continue;
    }
    const char byte = data[at++];
    if (byte == '\n')
      take_line(c);
    else if (c->line_length + 1 < sizeof c->line)
      c->line[c->line_length++] = byte;
    // A request line still belongs to no request; begin_request counts it.
    if (c->where != head || !c->first_line) ++c->sent;
  }
}

static int put(int fd, const char* data, ssize_t length) {
  while (length > 0) {
    const ssize_t written = send(fd, data, (size_t)length, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return 0;
    data += written;
    length -= written;
  }
  return 1;
}

static void close_connection(int at) {
  report(&connections[at]);
  close(connections[at].client);
  close(connections[at].agent);
  connections[at] = connections[--count];
}

static struct sockaddr_un address_of(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "proxy: %s: path too long for a socket\n", path);
    exit(2);
  }
  strcpy(address.sun_path, path);
  return address;
}

static void accept_one(int listener, const struct sockaddr_un* target) {
  const int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  const int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client < 0) return;
  if (count == kMostConnections || connect(agent, (const struct sockaddr*)target, sizeof *target) != 0) {
    close(client);
    close(agent);
    return;
  }
  connections[count++] = (struct Connection){.client = client, .agent = agent, .first_line = 1};
}

// One read each way; false when either side is done. Half-closed connections do not occur with this API.
static int serve(struct Connection* c, short client_events, short agent_events) {
  static char buffer[1 << 18];
  if (client_events != 0) {
    const ssize_t got = read(c->client, buffer, sizeof buffer);
    if (got <= 0) return 0;
    follow(c, buffer, (size_t)got);
    if (!put(c->agent, buffer, got)) return 0;
  }
  if (agent_events != 0) {
    const ssize_t got = read(c->agent, buffer, sizeof buffer);
    if (got <= 0) return 0;
    c->received += got;
    if (!put(c->client, buffer, got)) return 0;
  }
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  signal(SIGPIPE, SIG_IGN);
  counts_file = open(argv[3], O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const struct sockaddr_un here = address_of(argv[1]), target = address_of(argv[2]);
  if (counts_file < 0 || bind(listener, (const struct sockaddr*)&here, sizeof here) != 0 || listen(listener, 64) != 0) {
    perror("proxy");
    return 1;
  }
  for (;;) {
    struct pollfd ends[1 + 2 * kMostConnections];
    ends[0] = (struct pollfd){listener, POLLIN, 0};
    for (int at = 0; at < count; ++at) {
      ends[1 + 2 * at] = (struct pollfd){connections[at].client, POLLIN, 0};
      ends[2 + 2 * at] = (struct pollfd){connections[at].agent, POLLIN, 0};
    }
    if (poll(ends, 1 + 2 * (nfds_t)count, -1) < 0) continue;
    // Backwards: closing one moves the last into its place.
    for (int at = count - 1; at >= 0; --at)
      if (!serve(&connections[at], ends[1 + 2 * at].revents, ends[2 + 2 * at].revents)) close_connection(at);
    if (ends[0].revents != 0) accept_one(listener, &target);
  }
}
