/* src/config/config_file.c - see config_state.h. */
#include "config/config_state.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file may grow while it is read, so its size is a hint only: there is room for one byte more than is allowed. */
static int
read_open(int fd, const char *path, size_t max_len, struct file_content *out, struct fail *why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail_set(why, "58030", "cannot read %.128s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail_set(why, "F0000", "%.128s is %s", path,
				S_ISDIR(st.st_mode) ? "a directory" : "not a regular file");
	out->mode = st.st_mode & 07777;
	out->text = xmalloc(max_len + 2);
	/* Fills text with what is there; -1: an error, or more than max_len. */
	for (;;) {
		ssize_t got = read(fd, out->text + out->len, max_len + 1 - out->len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_set(why, "58030", "cannot read %.128s: %s", path, strerror(errno));
		if (got == 0)
			break;
		out->len += (size_t)got;
		if (out->len > max_len)
			return fail_set(why, "F0000", "%.128s is larger than %zu KiB", path, max_len >> 10);
	}
	out->text[out->len] = '\0';
	return 0;
}

int
file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

	*out = (struct file_content){ 0 };
	if (fd < 0)
		return fail_set(why, "58030", "cannot open %.128s: %s", path, strerror(errno));
	rc = read_open(fd, path, max_len, out, why);
	close(fd);
	if (rc < 0)
		file_free(out);
	return rc;
}

void
file_free(struct file_content *file)
{
	if (file->text != NULL)
		OPENSSL_cleanse(file->text, file->len);
	free(file->text);
	*file = (struct file_content){ 0 };
}
