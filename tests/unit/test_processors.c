/* tests/unit/test_processors.c - how many processors a container may use. */
#include "os/os.h"
#include "unit.h"

#include <limits.h>
#include <sys/stat.h>

/* A directory with /proc/self/cgroup as "groups", and below it what is mounted. */
static char place[] = "/tmp/test_processors.XXXXXX";

static void
make_place(void)
{
	cr_assert_not_null(mkdtemp(place));
}

static void
remove_place(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", place);
	must_hold_at_the_end(system(command) == 0, command);
}

/* Writes a file below the place, with the directories that it needs. */
static void
put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", place, name);
	for (char *at = path + strlen(place) + 1; (at = strchr(at, '/')) != NULL; *at++ = '/') {
		*at = '\0';
		mkdir(path, 0700);
	}
	f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
}

static unsigned
quota(void)
{
	char groups[256];

	snprintf(groups, sizeof(groups), "%s/groups", place);
	return os_cpu_quota(groups, place);
}

TestSuite(processors, .init = make_place, .fini = remove_place);

Test(processors, without_cgroups_there_is_no_quota)
{
	cr_expect_eq(quota(), UINT_MAX);
	put("groups", "0::/\n");
	cr_expect_eq(quota(), UINT_MAX);
	cr_expect_geq(os_count_processors(), 1);
}

Test(processors, a_quota_of_v2_is_rounded_up)
{
	put("groups", "0::/a/b\n");
	put("a/b/cpu.max", "max 100000\n");
	cr_expect_eq(quota(), UINT_MAX);
	put("a/b/cpu.max", "250000 100000\n");
	cr_expect_eq(quota(), 3);
	put("a/b/cpu.max", "50000 100000\n");
	cr_expect_eq(quota(), 1);
	put("a/b/cpu.max", "400000 100000\n");
	cr_expect_eq(quota(), 4);
}

Test(processors, the_least_quota_of_the_groups_around_it_counts)
{
	put("groups", "0::/a/b\n");
	put("a/b/cpu.max", "800000 100000\n");
	put("a/cpu.max", "200000 100000\n");
	cr_expect_eq(quota(), 2);
	put("a/cpu.max", "max 100000\n");
	cr_expect_eq(quota(), 8);
}

/* A container's mount has nothing of the host's path to its group. */
Test(processors, a_container_finds_its_quota_at_the_mount)
{
	put("groups", "0::/\n");
	put("cpu.max", "200000 100000\n");
	cr_expect_eq(quota(), 2);
	put("groups", "0::/../../kubepods/pod1\n");
	cr_expect_eq(quota(), 2);
	put("groups", "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n");
	put("cpu/cpu.cfs_quota_us", "150000\n");
	put("cpu/cpu.cfs_period_us", "50000\n");
	cr_expect_eq(quota(), 3);
}

Test(processors, a_quota_of_v1_is_its_controllers)
{
	put("groups", "5:cpuset:/x\n4:cpuacct,cpu:/x\n0::/y\n");
	put("cpu/x/cpu.cfs_quota_us", "-1\n");
	put("cpu/x/cpu.cfs_period_us", "100000\n");
	cr_expect_eq(quota(), UINT_MAX);
	put("cpu/x/cpu.cfs_quota_us", "300000\n");
	cr_expect_eq(quota(), 3);
	put("groups", "5:cpuset:/x\n4:cpuacct:/x\n");
	cr_expect_eq(quota(), UINT_MAX);
}

Test(processors, what_the_files_should_not_have_is_no_quota)
{
	put("groups", "nonsense\n\n0::/a\n");
	put("a/cpu.max", "-5 100000\n");
	cr_expect_eq(quota(), UINT_MAX);
	put("a/cpu.max", "100000 0\n");
	cr_expect_eq(quota(), UINT_MAX);
	put("a/cpu.max", "9223372036854775807 1\n");
	cr_expect_eq(quota(), UINT_MAX);
}
