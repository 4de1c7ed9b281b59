/* tests/unit/test_passwords.c - what becomes of a password_command, by its exit status. */
#include "base/clock.h"
#include "server/passwords.h"
#include "unit.h"

#include <sched.h>
#include <signal.h>

/* Runs the command to its end. Returns password_process_poll()'s result. */
static int
run(const char *command, char **password, struct fail *why)
{
	const struct password_request request = { command, US_PER_S, "localhost", "web", "app", 5432 };
	struct password_process *process = password_process_new(&request, 0, why);
	int r;

	cr_assert_not_null(process);
	while ((r = password_process_poll(process, 0, password, why)) == 0)
		sched_yield();
	return r;
}

static const struct {
	const char *rule, *command;
	bool is_ignored; /* SIGCHLD is ignored: the kernel drops the exit status */
	const char *password, *why; /* one of them is NULL */
} rows[] = {
	{ "the first line", "echo secret; echo more", false, "secret", NULL },
	{ "it fails after it has printed", "echo secret; exit 3", false, NULL, "exit status 3" },
	{ "a signal", "echo secret; kill -9 $$", false, NULL, "it was terminated by signal 9" },
	{ "nothing", "true", false, NULL, "it printed no password" },
	{ "nobody knows how it has ended", "echo secret; exit 3", true, NULL,
	  "its exit status is not known: No child processes" },
};

Test(passwords, a_command_is_believed_by_its_exit_status)
{
	EACH(row, rows) {
		char *password = NULL;
		struct fail why = { .text = "" };
		int r;

		signal(SIGCHLD, row->is_ignored ? SIG_IGN : SIG_DFL);
		r = run(row->command, &password, &why);
		cr_expect_eq(r, row->password != NULL ? 1 : -1, "%s", row->rule);
		if (r == 1)
			cr_expect_str_eq(password, row->password != NULL ? row->password : "", "%s", row->rule);
		else
			cr_expect_str_eq(why.text, row->why, "%s", row->rule);
		free(password);
	}
	signal(SIGCHLD, SIG_DFL);
}
