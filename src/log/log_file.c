/* src/log/log_file.c - see log_writer.h. */
#include "log/log_writer.h"
#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define POLL_MS 50

int
log_file_open(const char *destination, struct fail *why)
{
	int fd;

	if (strcmp(destination, "stderr") == 0)
		return STDERR_FILENO;
	/* With O_NONBLOCK, opening a FIFO that no process reads does not block. Regular files ignore this flag. */
	fd = open(destination, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return fail_set(why, "58P01", "could not open \"%s\": %s", destination, strerror(errno));
	return fd;
}

static void
set_fd(struct log_file *f, int fd)
{
	struct stat st;

	f->fd = fd;
	f->is_regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	f->last = LINE_ENDED;
	f->is_skipping = false;
}

int
log_file_init(struct log_file *f, const char *destination, struct fail *why)
{
	int fd;

	memset(f, 0, sizeof(*f));
	f->fd = -1;
	fd = log_file_open(destination, why);
	if (fd < 0)
		return -1;
	set_fd(f, fd);
	if (fd != STDERR_FILENO)
		f->path = xstrdup(destination);
	return 0;
}

void
log_file_fini(struct log_file *f)
{
	if (f->path != NULL)
		close(f->fd);
	free(f->path);
}

void
log_file_replace(struct log_file *f, int fd)
{
	close(f->fd);
	set_fd(f, fd);
}

/* Waits until a pipe, terminal or socket takes bytes; a regular file always does. Returns false if the time is over. */
static bool
wait_writable(struct log_file *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLOUT };

	while (!f->is_regular && poll(&p, 1, POLL_MS) <= 0) {
		uint64_t give_up_us = atomic_load(&f->give_up_at_us);

		if (give_up_us != 0 && clock_now_us() >= give_up_us)
			return false;
	}
	return true;
}

static size_t
count_lines(const char *bytes, size_t len)
{
	size_t n = 0;

	for (const char *end; (end = memchr(bytes, '\n', len)) != NULL; n++) {
		len -= (size_t)(end - bytes) + 1;
		bytes = end + 1;
	}
	return n;
}

static ssize_t
write_some(struct log_file *f, const char *bytes, size_t len)
{
	ssize_t n;

	if (f->last == LINE_TORN) {
		if (write(f->fd, "\n", 1) != 1)
			return -1;
		f->last = LINE_ENDED;
	}
	/* A pipe that is ready takes PIPE_BUF bytes without blocking. Writes whole lines if possible. */
	if (!f->is_regular && len > PIPE_BUF) {
		const char *end = memrchr(bytes, '\n', PIPE_BUF);

		len = end != NULL ? (size_t)(end - bytes) + 1 : PIPE_BUF;
	}
	n = write(f->fd, bytes, len);
	if (n > 0)
		f->last = bytes[n - 1] != '\n' ? LINE_GOES_ON : LINE_ENDED;
	return n;
}

/* Called after a failed write, and then for all further bytes of the line, which is lost. Returns how many of these
 * bytes belong to the line. */
static size_t
skip_line(struct log_file *f, const char *bytes, size_t len)
{
	const char *end = memchr(bytes, '\n', len);

	if (f->last == LINE_GOES_ON)
		f->last = LINE_TORN;
	f->is_skipping = end == NULL;
	if (end == NULL)
		return len;
	atomic_fetch_add(&f->errors, 1);
	return (size_t)(end - bytes) + 1;
}

void
log_file_write(struct log_file *f, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = -1;
		size_t done;

		if (!wait_writable(f)) {
			atomic_fetch_add(&f->errors, count_lines(bytes, len));
			return;
		}
		if (!f->is_skipping) {
			n = write_some(f, bytes, len);
			if (n < 0 && (errno == EINTR || errno == EAGAIN))
				continue;
		}
		done = n > 0 ? (size_t)n : skip_line(f, bytes, len);
		bytes += done;
		len -= done;
	}
}
