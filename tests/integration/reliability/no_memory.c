/*
 * tests/integration/reliability/no_memory.c - malloc and its kin that fail when a test says so. Preloaded into pgweir;
 * the test and pgweir share the file that NO_MEMORY names. NO_MEMORY_TRACE: each failure is told on standard error,
 * with who asked. NO_MEMORY_FOR_CHILDREN: programs that pgweir starts have it, too. Works with AddressSanitizer's
 * allocator behind it as well, which ends the program if it doesn't learn where a new thread's stack is: for that there
 * is always memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FRAMES_MAX 24

/* As test_no_memory.py has it. While is_armed, calls are counted; the first-th fails, and all that follow for span_us.
 */
struct control {
	_Atomic uint64_t is_armed, calls, first, span_us, failed, since_us;
};

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *p, size_t size) __attribute__((weak));

static struct control *control;
static int is_told;
/* This thread has all the memory it wants. AddressSanitizer replaces __tls_get_addr(), and has none yet when it begins.
 */
static __thread int is_spared __attribute__((tls_model("initial-exec")));

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
tell(const char *what)
{
	void *frames[FRAMES_MAX];
	ssize_t n = write(STDERR_FILENO, what, strlen(what));

	(void)n;
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
}

static void
on_crash(int number)
{
	tell("crashed:\n");
	signal(number, SIG_DFL);
	raise(number);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("NO_MEMORY");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *frames[1], *at;

	if (fd < 0)
		return;
	is_told = getenv("NO_MEMORY_TRACE") != NULL;
	if (is_told) {
		backtrace(frames, 1); /* it allocates at its first call */
		signal(SIGSEGV, on_crash);
	}
	if (getenv("NO_MEMORY_FOR_CHILDREN") == NULL)
		unsetenv("LD_PRELOAD"); /* programs that pgweir starts have all the memory they want */
	at = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at != MAP_FAILED)
		control = at;
}

static int
fails(void)
{

	uint64_t call;

	if (is_spared || control == NULL || !atomic_load_explicit(&control->is_armed, memory_order_relaxed))
		return 0;
	call = atomic_fetch_add(&control->calls, 1) + 1;
	if (call == atomic_load(&control->first))
		atomic_store(&control->since_us, now_us());
	else if (call < atomic_load(&control->first) ||
		 now_us() - atomic_load(&control->since_us) >= atomic_load(&control->span_us))
		return 0;
	atomic_fetch_add(&control->failed, 1);
	if (is_told)
		tell("no_memory:\n");
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_malloc != NULL ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_calloc != NULL ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *
realloc(void *p, size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_realloc != NULL ? __interceptor_realloc(p, size) : __libc_realloc(p, size);
}

void *
reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

char *
strndup(const char *s, size_t max)
{
	size_t len = strnlen(s, max);
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
strdup(const char *s)
{
	return strndup(s, PTRDIFF_MAX);
}

int
pthread_getattr_np(pthread_t thread, pthread_attr_t *attributes)
{
	int (*next)(pthread_t, pthread_attr_t *), result;

	is_spared = 1;
	*(void **)&next = dlsym(RTLD_NEXT, "pthread_getattr_np");
	result = next(thread, attributes);
	is_spared = 0;
	return result;
}
