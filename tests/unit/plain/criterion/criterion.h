/*
 * tests/unit/plain/criterion/criterion.h - as much of Criterion as tests of threads use, for builds with
 * ThreadSanitizer (configure --enable-tsan): Criterion itself wants memory at addresses that the sanitizer has taken.
 *
 * Each test runs in a process of its own. A failed cr_assert ends the test, a failed cr_expect does not.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct plain_test {
	const char *name;
	void (*run)(void);
	struct plain_test *next;
};

/* Weak: the fakes of a test include this, too. */
__attribute__((weak)) struct plain_test *plain_tests;
__attribute__((weak)) _Atomic int plain_failures;

__attribute__((format(printf, 6, 7))) static inline void
plain_check(bool is_true, bool is_assert, const char *file, int line, const char *what, const char *fmt, ...)
{
	va_list ap;

	if (is_true)
		return;
	plain_failures++;
	fprintf(stderr, "%s:%d: %s", file, line, what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (is_assert)
		_exit(1);
}

static inline bool
plain_run(const struct plain_test *t)
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		t->run();
		exit(plain_failures != 0);
	}
	if (waitpid(child, &status, 0) != child || status != 0) {
		printf("FAIL: %s (status %d)\n", t->name, status);
		return false;
	}
	return true;
}

__attribute__((weak)) int
main(void)
{
	unsigned run = 0, failed = 0;

	for (const struct plain_test *t = plain_tests; t != NULL; t = t->next, run++)
		failed += !plain_run(t);
	printf("Synthesis: Tested: %u | Failing: %u\n", run, failed);
	return run == 0 || failed > 0;
}

#define Test(suite, test, ...)                                                                                         \
	static void suite##_##test(void);                                                                              \
	__attribute__((constructor)) static void suite##_##test##_add(void)                                            \
	{                                                                                                              \
		static struct plain_test t = { #suite "/" #test, suite##_##test, NULL };                               \
                                                                                                                       \
		t.next = plain_tests;                                                                                  \
		plain_tests = &t;                                                                                      \
	}                                                                                                              \
	static void suite##_##test(void)

#define PLAIN(is_assert, condition, ...)                                                                               \
	plain_check(condition, is_assert, __FILE__, __LINE__, #condition, " " __VA_ARGS__)
#define cr_expect(condition, ...) PLAIN(false, (condition), __VA_ARGS__)
#define cr_expect_not(condition, ...) PLAIN(false, !(condition), __VA_ARGS__)
#define cr_expect_null(a, ...) PLAIN(false, (a) == NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...) PLAIN(false, (a) != NULL, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) PLAIN(false, (a) == (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...) PLAIN(false, (a) != (b), __VA_ARGS__)
#define cr_expect_lt(a, b, ...) PLAIN(false, (a) < (b), __VA_ARGS__)
#define cr_expect_leq(a, b, ...) PLAIN(false, (a) <= (b), __VA_ARGS__)
#define cr_expect_gt(a, b, ...) PLAIN(false, (a) > (b), __VA_ARGS__)
#define cr_expect_geq(a, b, ...) PLAIN(false, (a) >= (b), __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) PLAIN(false, strcmp(a, b) == 0, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...) PLAIN(false, memcmp(a, b, size) == 0, __VA_ARGS__)
#define cr_assert(condition, ...) PLAIN(true, (condition), __VA_ARGS__)
#define cr_assert_not_null(a, ...) PLAIN(true, (a) != NULL, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) PLAIN(true, (a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...) PLAIN(true, (a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...) PLAIN(true, (a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...) PLAIN(true, (a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...) PLAIN(true, (a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...) PLAIN(true, (a) >= (b), __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) PLAIN(true, strcmp(a, b) == 0, __VA_ARGS__)
#define cr_assert_fail(...) PLAIN(true, false, __VA_ARGS__)
