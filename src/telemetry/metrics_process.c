/* src/telemetry/metrics_process.c - see metrics_state.h. */
#include "telemetry/metrics_state.h"

#include "base/clock.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* proc(5): the second field is the program's name in brackets, which may contain anything; our fields come after it. */
static void
read_stat(struct metrics_process *p)
{
	FILE *f = fopen("/proc/self/stat", "re");
	unsigned long long virtual, resident;
	char text[1024];
	size_t len;
	const char *after;

	if (f == NULL)
		return;
	len = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[len] = '\0';
	after = strrchr(text, ')');
	if (after == NULL ||
	    sscanf(after + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %llu %llu",
		   &virtual, &resident) != 2)
		return;
	p->virtual_bytes = virtual;
	p->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void
metrics_process_read(struct metrics_process *p)
{
	struct timespec t;
	DIR *dir;
	const struct dirent *entry;
	struct rlimit limit;

	memset(p, 0, sizeof(*p));
	read_stat(p);
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0)
		p->cpu_us = (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
	dir = opendir("/proc/self/fd");
	if (dir != NULL) {
		while ((entry = readdir(dir)) != NULL)
			p->open_fds += entry->d_name[0] != '.';
		p->open_fds--; /* the descriptor of the directory itself */
		closedir(dir);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		p->max_fds = limit.rlim_cur;
}
