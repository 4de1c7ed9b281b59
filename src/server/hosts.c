#include "server/hosts.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/table.h"

#define SILENT_FIRST_US UINT64_C(1000000)
#define SILENT_MOST_US (15 * SILENT_FIRST_US)

/* A host that was silent; other hosts have no entry. */
struct silent_host {
	uint32_t count; /* how many times in a row it was silent */
	uint64_t due_us;
	UT_hash_handle hh;
	char address[];
};

struct hosts {
	uint64_t seed, random;
	struct silent_host *table;
};

struct hosts *
hosts_new(uint64_t random_seed)
{
	struct hosts *h = xcalloc(1, sizeof(*h));

	h->seed = h->random = random_seed;
	return h;
}

static void
forget_host(struct hosts *h, struct silent_host *host)
{
	HASH_DELETE(hh, h->table, host);
	free(host);
}

void
hosts_free(struct hosts *h)
{
	struct silent_host *host, *next;

	if (h == NULL)
		return;
	HASH_ITER(hh, h->table, host, next)
		forget_host(h, host);
	free(h);
}

static struct silent_host *
find(const struct hosts *h, const char *address)
{
	struct silent_host *host = NULL;

	if (h != NULL)
		TABLE_FIND(h->seed, h->table, address, strlen(address), host);
	return host;
}

uint64_t
hosts_due_us(const struct hosts *h, const char *address)
{
	const struct silent_host *host = find(h, address);

	return host == NULL ? 0 : host->due_us;
}

void
hosts_note_attempt(struct hosts *h, const char *address, uint64_t timeout_us, uint64_t now_us)
{
	struct silent_host *host = find(h, address);

	if (host != NULL)
		host->due_us = now_us + timeout_us;
}

void
hosts_note_silent(struct hosts *h, const char *address, uint64_t now_us)
{
	struct silent_host *host = find(h, address);
	size_t len = strlen(address);

	if (h == NULL || (host == NULL && HASH_COUNT(h->table) >= HOSTS_MAX))
		return;
	if (host == NULL && (host = TABLE_ADD_NEW(h->seed, h->table, address, address, len)) == NULL)
		return; /* without memory this host is tried like a host that answers */
	host->due_us = now_us + backoff_us(host->count, SILENT_FIRST_US, SILENT_MOST_US, &h->random);
	host->count++;
}

void
hosts_note_answer(struct hosts *h, const char *address)
{
	struct silent_host *host = find(h, address);

	if (host != NULL)
		forget_host(h, host);
}
