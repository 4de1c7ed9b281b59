#include "base/text.h"

#include <stdio.h>

bool
secret_file_is_open(const struct stat *st, const char *path, char *out, size_t cap)
{
	mode_t group = st->st_uid == 0 ? S_IWGRP : S_IRGRP | S_IWGRP, others = S_IROTH | S_IWOTH;
	bool is_anyone = (st->st_mode & others) != 0;

	if (!S_ISREG(st->st_mode) || (st->st_mode & (group | others)) == 0)
		return false;
	snprintf(out, cap, "%.400s: %s may %s this file of secrets: chmod %s", path, is_anyone ? "anyone" : "its group",
		 st->st_mode & (is_anyone ? S_IWOTH : S_IWGRP) ? "change" : "read", is_anyone ? "o-rwx" : "g-rwx");
	return true;
}
