/* src/os/processors.c - the number of processors that this process may use. */
#include "os/os.h"

#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* Returns the quota as a number of processors, rounded up, or UINT_MAX if there is none. */
static unsigned
processors_of(int64_t quota, int64_t period)
{
	return quota <= 0 || period <= 0 || quota / period >= INT_MAX
		   ? UINT_MAX
		   : (unsigned)(quota / period + (quota % period != 0));
}

/* Returns the number at the beginning of a file, and sets *second to the number after it, if any. Returns -1 if there
 * is no file, or if the file begins with something else, such as "max". */
static int64_t
read_number(const char *directory, const char *name, int64_t *second)
{
	char path[PATH_MAX];
	int64_t first = -1;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path) ||
	    (f = fopen(path, "re")) == NULL)
		return -1;
	if (fscanf(f, "%" SCNd64 " %" SCNd64, &first, second) < 1)
		first = -1;
	fclose(f);
	return first;
}

/* In cgroup v2, the file cpu.max has the quota and the period: "max 100000", or "250000 100000". */
static unsigned
read_quota_v2(const char *directory)
{
	int64_t period = 0, quota = read_number(directory, "cpu.max", &period);

	return processors_of(quota, period);
}

static unsigned
read_quota_v1(const char *directory)
{
	int64_t ignored, quota = read_number(directory, "cpu.cfs_quota_us", &ignored);

	return processors_of(quota, read_number(directory, "cpu.cfs_period_us", &ignored));
}

/* Returns the smallest quota of a group and its parents, up to the mount. In a container, `group` may be a path of the
 * host that does not exist below the mount; directories that do not exist have no quota. */
static unsigned
least_quota(const char *mount, const char *group, unsigned (*read_quota)(const char *directory))
{
	char path[PATH_MAX];
	size_t mount_len = strlen(mount);
	unsigned least = UINT_MAX;

	if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
		path[mount_len] = '\0';
	for (;;) {
		unsigned n = read_quota(path);
		char *end;

		least = n < least ? n : least;
		if (strlen(path) <= mount_len)
			return least;
		end = strrchr(path, '/');
		*end = '\0';
	}
}

/* Returns true if a comma-separated list has "cpu". */
static bool
has_cpu(const char *controllers)
{
	for (const char *at = controllers; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
		if (strncmp(at, "cpu", 3) == 0 && (at[3] == '\0' || at[3] == ','))
			return true;
	return false;
}

/* Returns the quota of the group that a line names. The line is "number:controllers:/group"; v2 has no controllers. */
static unsigned
quota_of_line(char *line, const char *mount)
{
	char *controllers = strchr(line, ':'), *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
	char v1[PATH_MAX];

	line[strcspn(line, "\n")] = '\0';
	if (group == NULL)
		return UINT_MAX;
	*controllers++ = *group++ = '\0';
	if (*controllers == '\0')
		return least_quota(mount, group, read_quota_v2);
	snprintf(v1, sizeof(v1), "%s/cpu", mount);
	return has_cpu(controllers) ? least_quota(v1, group, read_quota_v1) : UINT_MAX;
}

unsigned
os_cpu_quota(const char *groups, const char *mount)
{
	char line[PATH_MAX];
	unsigned least = UINT_MAX;
	FILE *f = fopen(groups, "re");

	if (f == NULL)
		return least;
	while (fgets(line, sizeof(line), f) != NULL) {
		unsigned n = quota_of_line(line, mount);

		least = n < least ? n : least;
	}
	fclose(f);
	return least;
}

unsigned
os_count_processors(void)
{
	cpu_set_t set;
	unsigned quota = os_cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup"),
		 n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : (unsigned)CPU_COUNT(&set);

	return quota < n ? quota : n;
}
