#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNSIZED_LEN_MAX ((size_t)64 << 10) /* the most bytes of a file whose size is given as 0 (in /proc) */

static int
read_open(int fd, const char *path, size_t max_len, struct file_content *out, struct fail *why)
{
	struct stat after;
	size_t room;
	ssize_t got = 1;

	if (fstat(fd, &out->st) < 0)
		return fail_set(why, "58030", "could not read %.150s: %s", path, strerror(errno));
	if (!S_ISREG(out->st.st_mode))
		return fail_set(why, "F0000", "%.150s is %s", path,
				S_ISDIR(out->st.st_mode) ? "a directory" : "not a regular file");
	room = out->st.st_size > 0 ? (size_t)out->st.st_size : UNSIZED_LEN_MAX;
	room = room < max_len ? room : max_len;
	if ((out->text = malloc(room + 1)) == NULL)
		return fail_set(why, "53200", "could not read %.150s: out of memory", path);
	while (got > 0 && out->len <= room) {
		got = read(fd, out->text + out->len, room + 1 - out->len);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return fail_set(why, "58030", "could not read %.150s: %s", path, strerror(errno));
		else
			out->len += (size_t)got;
	}
	if (out->len > max_len)
		return fail_set(why, FILE_TOO_LARGE, "%.150s is larger than %zu %s", path,
				max_len >> (max_len >> 20 > 0 ? 20 : 10), max_len >> 20 > 0 ? "MiB" : "KiB");
	if (out->len > room || fstat(fd, &after) < 0 || after.st_size != out->st.st_size ||
	    (after.st_size > 0 && out->len != (size_t)after.st_size))
		return fail_set(why, "F0000", "%.150s changed while it was read", path);
	out->text[out->len] = '\0';
	return 0;
}

int
file_read(const char *path, size_t max_len, struct file_content *out, struct fail *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;

	*out = (struct file_content){ 0 };
	if (fd < 0)
		return fail_set(why, "F0000", "could not open %.150s: %s", path, strerror(errno));
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

bool
file_is_open_to_others(const struct stat *st, const char *path, char *out, size_t cap)
{
	mode_t group = st->st_uid == 0 ? S_IWGRP : S_IRGRP | S_IWGRP, others = S_IROTH | S_IWOTH;
	bool is_anyone = (st->st_mode & others) != 0;

	if (!S_ISREG(st->st_mode) || (st->st_mode & (group | others)) == 0)
		return false;
	snprintf(out, cap, "%.400s: %s may %s this file of secrets: chmod %s", path, is_anyone ? "anyone" : "its group",
		 st->st_mode & (is_anyone ? S_IWOTH : S_IWGRP) ? "change" : "read", is_anyone ? "o-rwx" : "g-rwx");
	return true;
}
