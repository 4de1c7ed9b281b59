/*
 * src/base/memory.c - see resources.h.
 *
 * max_memory is a soft RLIMIT_DATA. The kernel counts all writable private memory that is mapped, even if it was never
 * touched (mainly thread stacks), so the size of the untouched memory is added to the limit.
 */
#include "base/resources.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define LARGE_MIN (256 << 10) /* bytes */
#define RESERVE_MAX ((rlim_t)64 << 20)
#define RETRIES_MAX 3

/* Bytes of address space, and of mapped writable memory that was not touched. Both are 0 if the kernel doesn't tell. */
struct usage {
	size_t addresses, untouched;
};

static struct usage
read_usage(void)
{
	unsigned long size, resident, shared, data;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char text[256];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return (struct usage){ 0 };
	text[len] = '\0';
	if (sscanf(text, "%lu %lu %lu %*u %*u %lu", &size, &resident, &shared, &data) != 4 || data + shared < resident)
		return (struct usage){ 0 };
	return (struct usage){ size * page, (data + shared - resident) * page };
}

/* Lowers a soft limit that is at its hard limit, by a quarter of the free space at most. Returns the soft limit. */
static rlim_t
limit_addresses(size_t used)
{
	struct rlimit r;
	rlim_t reserve;

	if (getrlimit(RLIMIT_AS, &r) < 0)
		return RLIM_INFINITY;
	if (r.rlim_cur != r.rlim_max || r.rlim_max == RLIM_INFINITY || r.rlim_max <= used)
		return r.rlim_cur;
	reserve = (r.rlim_max - used) / 4 < RESERVE_MAX ? (r.rlim_max - used) / 4 : RESERVE_MAX;
	r.rlim_cur = r.rlim_max - reserve;
	setrlimit(RLIMIT_AS, &r);
	return r.rlim_cur;
}

void
memory_set_threads(unsigned count)
{
	mallopt(M_ARENA_MAX, (int)count + 2);
}

size_t
memory_set_limit(size_t max)
{
	struct usage now = read_usage();
	rlim_t addresses = limit_addresses(now.addresses);
	struct rlimit r;

	if (getrlimit(RLIMIT_DATA, &r) == 0) {
		r.rlim_cur = max == 0 || max > r.rlim_max - now.untouched ? r.rlim_max : max + now.untouched;
		setrlimit(RLIMIT_DATA, &r);
	}
	if (max != 0 || addresses != RLIM_INFINITY) {
		/* Under a limit, freed memory must be usable for the next request, whatever its size. By default,
		 * malloc keeps blocks in its heap up to the size of the largest block that was ever freed. In a test
		 * with these defaults, up to a quarter of the limit was lost in pieces that were too small for the next
		 * large message, though memory_has_room() counted them as free. */
		mallopt(M_MMAP_THRESHOLD, LARGE_MIN);
		mallopt(M_TRIM_THRESHOLD, 2 * LARGE_MIN);
	}
	if (max != 0 && max < addresses)
		return max;
	return addresses == RLIM_INFINITY ? 0 : addresses;
}

bool
memory_has_room(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p != MAP_FAILED) {
		munmap(p, bytes);
		return true;
	}
	/* Freed memory that malloc still keeps may be enough. */
	return mallinfo2().fordblks >= bytes;
}

static void
set_limits(const struct rlimit limits[2])
{
	setrlimit(RLIMIT_AS, &limits[0]);
	setrlimit(RLIMIT_DATA, &limits[1]);
}

/* Lifts the soft limits. Returns false if the caller must not set them again: there are no limits, or another thread
 * has lifted them for a moment and will set them again. */
static bool
lift_limits(struct rlimit before[2])
{
	if (getrlimit(RLIMIT_AS, &before[0]) < 0 || getrlimit(RLIMIT_DATA, &before[1]) < 0)
		return false;
	if (before[0].rlim_cur == before[0].rlim_max && before[1].rlim_cur == before[1].rlim_max)
		return false;
	set_limits((struct rlimit[]){ { before[0].rlim_max, before[0].rlim_max },
				      { before[1].rlim_max, before[1].rlim_max } });
	return true;
}

bool
memory_lift_limits(size_t bytes)
{
	struct rlimit before[2];

	lift_limits(before);
	return memory_has_room(bytes);
}

void *
memory_realloc(void *p, size_t size)
{
	struct rlimit before[2];

	/* The first try is made within the limits. Each retry lifts them, and there are several retries, because
	 * another thread may set the limits again between lift_limits() and realloc(). */
	for (int i = 0;; i++) {
		bool is_lifted = i > 0 && lift_limits(before);
		void *grown = realloc(p, size);

		if (is_lifted)
			set_limits(before);
		if (grown != NULL || size == 0 || i == RETRIES_MAX)
			return grown;
	}
}
