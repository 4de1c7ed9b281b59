/*
 * src/main.c - the command line, then process_run().
 *
 * Exit codes: 0 success, 1 a wrong configuration or another failure, 2 a wrong option or one not in this build.
 */
#include "config/compat.h"
#include "os/os.h"
#include "process/process.h"
#include "restart/restart.h"
#include "setup/setup.h"
#include "build.h"
#include "load/file_format.h"
#include "base/text.h"

#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { OPT_UPSTREAM = 256, OPT_FOREIGN, OPT_SCHEMA, OPT_CERTIFICATE };

/* Reports that this build lacks the module that reads PgBouncer's file. Returns the exit code. */
static int
report_no_import(void)
{
	fputs("pgweir: this build cannot read PgBouncer's file: it was configured with --disable-pgbouncer-ini\n",
	      stderr);
	return 2;
}

static void
print_usage(FILE *to)
{
	fputs(
	    "Usage: pgweir [OPTION] [FILE]\n"
	    "Connection-pooling proxy for PostgreSQL.\n"
	    "\n"
	    "  pgweir FILE                     run with a configuration file (pgweir.ini)\n"
	    "  pgweir --upstream URI           run with no file: postgres://user@host:port/database\n"
	    "\n"
	    "  --check-config FILE             print every problem with its line, then exit (0: none, 1: some)\n"
	    "  --dump-config [FILE]            print the settings in force, with a FILE or with --upstream\n"
	    "  --import-pgbouncer FILE         write a pgbouncer.ini as pgweir's own file, with comments\n"
	    "  --help-config [NAME ...]        print every setting, or those named: unit, default, meaning\n"
	    "  --help-pgbouncer                print what becomes of each of PgBouncer's settings\n"
	    "  --config-schema                 print the settings as a JSON Schema\n"
	    "  --make-certificate DIRECTORY    write a self-signed server.crt and server.key there\n"
	    "  -h, --help                      this text\n"
	    "  -V, --version                   versions of pgweir and its libraries, and what it was built with\n"
	    "\n"
	    "PgBouncer's file runs as it is, pgweir /etc/pgbouncer/pgbouncer.ini, and so do PgBouncer's options:\n"
	    "  -d, --daemon                    run in the background\n"
	    "  -u, --user USER                 the system user to become, if started as root\n"
	    "  -v, --verbose                   write debug messages too\n"
	    "  -q, --quiet                     (a log that goes to a file goes nowhere else)\n"
	    "\n"
	    "With --upstream, pgweir listens on 127.0.0.1:6432 and has metrics on http://127.0.0.1:9930/metrics. The\n"
	    "password comes from the URI, PGPASSWORD or the passfile, and is what clients log in with, too.\n"
	    "\n"
	    "Signals: HUP reloads and reopens logs; TERM finishes open transactions, then ends; INT and QUIT end at "
	    "once;\n"
	    "USR1 pauses; USR2 resumes, or if nothing is paused, a new process takes over all clients.\n",
	    to);
}

/* called is argv[0]. If pgweir is called pgbouncer, the first line is the one for which PgBouncer's tools look. */
static void
print_version(const char *called)
{
	const char *slash = strrchr(called, '/'), *compat = getenv("PGWEIR_PGWEIR_COMPAT");
	/* the environment decides, because no file is read */
	bool is_old = compat != NULL && strcmp(compat, "pgbouncer_1_25") == 0;
#ifdef HAVE_LIBSYSTEMD
	const char *systemd = "with";
#else
	const char *systemd = "without";
#endif
#ifdef HAVE_LIBIDN
	const char *libidn = "with";
#else
	const char *libidn = "without";
#endif

	if (strcmp(slash != NULL ? slash + 1 : called, "pgbouncer") == 0)
		puts(is_old ? "PgBouncer " COMPAT_VERSION_OLD : "PgBouncer " COMPAT_VERSION);
	printf("pgweir %s\nlibevent %s\n%s\n", PGWEIR_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION));
	printf("%s libsystemd (notification, socket activation)\n%s libidn (SASLprep)\n", systemd, libidn);
}

static void
print_problems(const struct config_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		fprintf(stderr, "%s\n", problems->list[i].text);
}

static struct config *
load(const char *path, const char *uri, bool is_check, int predecessor_fd)
{
	struct config_problems problems = { 0 };
	struct config *config = uri != NULL ? load_upstream(uri, &problems) : load_config(path, NULL, 0, &problems);
	size_t file_problem_count = problems.count;

	if (config != NULL && setup_check_files(config, &problems) < 0) {
		config_unref(config);
		config = NULL;
	}
	if (config != NULL && !is_check) /* the log will have what setup_check_files() has found */
		config_problems_truncate(&problems, file_problem_count);
	if (config != NULL && is_check)
		setup_check_secrets(config, &problems);
	print_problems(&problems);
	for (size_t i = 0; config == NULL && i < problems.count; i++)
		if (problems.list[i].is_error) {
			restart_send_failed(predecessor_fd, problems.list[i].text); /* the first error */
			break;
		}
	if (is_check || problems.error_count > 0) {
		size_t warnings = problems.count - problems.error_count;

		fprintf(stderr, "%s: %zu error%s, %zu warning%s\n", path != NULL ? path : "--upstream",
			problems.error_count, problems.error_count == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
	}
	config_problems_fini(&problems);
	return config;
}

static void
greet(const struct config *config)
{
	const struct upstream *up = config->database_count > 0 ? config->databases[0].upstream : NULL;
	const char *user;

	if (config->path[0] != '\0' || up == NULL)
		return;
	user = config->single_user[0] != '\0' ? config->single_user : up->user;
	fprintf(stderr, "pgweir: connect with   psql -h 127.0.0.1 -p 6432 -U %s %s\n", user[0] != '\0' ? user : "USER",
		up->dbname[0] != '\0' ? up->dbname : "DATABASE");
	if (config->http_enabled)
		fprintf(stderr, "pgweir: metrics are at http://%s/metrics\n", config->http_listen.text);
}

/* A process in the background keeps no terminal open. */
static int
leave_terminal(void)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
	return 0;
}

/*
 * Takes ownership of config, so that the first configuration, with its passwords, is not kept beyond the first reload.
 * ready_fd is a descriptor to which a byte is written once process_new() has succeeded, or -1. Returns the exit code.
 */
static int
serve(struct config *config, const struct process_start *start, int ready_fd)
{
	struct fail why;
	struct weir *w = process_new(config, start, &why);

	if (w == NULL) {
		fprintf(stderr, "pgweir: %s\n", why.text);
		if (why.hint[0] != '\0')
			fprintf(stderr, "pgweir: %s\n", why.hint);
		config_unref(config);
		return 1;
	}
	greet(config);
	config_unref(config);
	if (ready_fd >= 0 && (write(ready_fd, "", 1) != 1 || leave_terminal() < 0))
		return 1;
	process_run(w);
	if (!process_free(w)) {
		fflush(NULL);
		_exit(0);
	}
	return 0;
}

/* Returns the length of the password that may begin at `from`, in a URI or a connection string. */
static size_t
password_len(const char *from)
{
	return strncmp(from, "${", 2) == 0 ? 0 : strcspn(from, *from == '\'' ? "" : "& \t\n");
}

/* Hides passwords in a URI or connection string, because everyone on the machine can read the command line. */
static void
hide_password(char *uri)
{
	char *scheme = strstr(uri, "://"), *at = NULL, *colon = NULL;
	size_t hidden = 0, len;

	if (scheme != NULL && (at = memchr(scheme + 3, '@', strcspn(scheme + 3, "/?"))) != NULL)
		colon = memchr(scheme + 3, ':', (size_t)(at - scheme - 3));
	if (colon != NULL)
		memset(colon + 1, '*', hidden = (size_t)(at - colon - 1));
	for (char *p = uri; (p = strstr(p, "password=")) != NULL; hidden += len) {
		p += strlen("password=");
		memset(p, '*', len = password_len(p));
	}
	if (hidden > 0)
		fputs("pgweir: warning: others can see a password on the command line; use PGPASSWORD or ~/.pgpass\n",
		      stderr);
}

/* The options and arguments of the command line. */
struct cmdline {
	int is_check, is_dump, is_import, is_help_config; /* getopt_long() sets these */
	bool is_verbose, is_daemon;
	const char *called; /* argv[0] */
	const char *user; /* NULL if not given */
	char *uri;
	const char *path;
};

/* Makes OpenSSL's default context, which all of its functions use. Returns false, after reporting the error, if there
 * is no memory: OpenSSL's later functions would not report that, and RAND_bytes() would crash. */
static bool
begin_openssl(int predecessor_fd)
{
	static const char text[] = "out of memory";

	if (OSSL_LIB_CTX_get0_global_default() != NULL)
		return true;
	fprintf(stderr, "pgweir: %s\n", text);
	restart_send_failed(predecessor_fd, text);
	return false;
}

/* Returns the exit code. */
static int
make_certificate(const char *directory)
{
	struct fail why;

	if (setup_make_certificate(directory, &why) == 0)
		return 0;
	fprintf(stderr, "pgweir: %s\n", why.text);
	return 1;
}

/* Returns -1 if pgweir goes on, else the exit code. */
static int
read_option(struct cmdline *cmdline, int option)
{
	switch (option) {
	case OPT_UPSTREAM:
		cmdline->uri = optarg;
		return -1;
	case 'd':
		cmdline->is_daemon = true;
		return -1;
	case 'u':
		cmdline->user = optarg;
		return -1;
	case 'v':
		cmdline->is_verbose = true;
		return -1;
	case 'q':
	case 0: /* an option that getopt_long() has stored */
		return -1;
	case 'R':
		fputs("pgweir: -R is not supported: PgBouncer has dropped it, too. RESTART in the console starts the "
		      "next process, to which the clients move.\n",
		      stderr);
		return 2;
	case OPT_FOREIGN:
		if (file_formats[0] == NULL)
			return report_no_import();
		file_formats[0]->print_keys(stdout);
		return 0;
	case OPT_SCHEMA:
		config_print_schema(stdout);
		return 0;
	case OPT_CERTIFICATE:
		return make_certificate(optarg);
	case 'h':
		print_usage(stdout);
		return 0;
	case 'V':
		print_version(cmdline->called);
		return 0;
	default:
		fputs("Try 'pgweir --help'.\n", stderr);
		return 2;
	}
}

/* Reports that the command line is wrong. Returns the exit code. */
static int __attribute__((format(printf, 1, 2))) refuse(const char *fmt, ...)
{
	va_list ap;

	fputs("pgweir: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\n\n", stderr);
	print_usage(stderr);
	return 2;
}

/* Prints all settings, or those with these names. Returns the exit code. */
static int
print_keys(int count, char **names)
{
	if (count == 0)
		load_print_keys(stdout);
	for (int i = 0; i < count; i++)
		if (!load_print_key(names[i], stdout)) {
			fprintf(stderr, "pgweir: there is no setting \"%s\"; --help-config without a name prints all\n",
				names[i]);
			return 2;
		}
	return 0;
}

static int
read_options(struct cmdline *cmdline, int argc, char **argv)
{
	const struct option options[] = { { "check-config", no_argument, &cmdline->is_check, true },
					  { "dump-config", no_argument, &cmdline->is_dump, true },
					  { "import-pgbouncer", no_argument, &cmdline->is_import, true },
					  { "upstream", required_argument, NULL, OPT_UPSTREAM },
					  { "help-config", no_argument, &cmdline->is_help_config, true },
					  { "help-pgbouncer", no_argument, NULL, OPT_FOREIGN },
					  { "config-schema", no_argument, NULL, OPT_SCHEMA },
					  { "make-certificate", required_argument, NULL, OPT_CERTIFICATE },
					  { "daemon", no_argument, NULL, 'd' },
					  { "quiet", no_argument, NULL, 'q' },
					  { "reboot", no_argument, NULL, 'R' },
					  { "user", required_argument, NULL, 'u' },
					  { "verbose", no_argument, NULL, 'v' },
					  { "help", no_argument, NULL, 'h' },
					  { "version", no_argument, NULL, 'V' },
					  { NULL, 0, NULL, 0 } };
	int o, code;

	while ((o = getopt_long(argc, argv, "dhqRu:vV", options, NULL)) != -1)
		if ((code = read_option(cmdline, o)) >= 0)
			return code;
	if (cmdline->is_help_config)
		return print_keys(argc - optind, argv + optind);
	cmdline->path = optind < argc ? argv[optind] : NULL;
	if (cmdline->path == NULL && cmdline->uri == NULL)
		return refuse("name a configuration file, or use --upstream");
	if (optind + 1 < argc)
		return refuse("more than one configuration file: \"%s\"", argv[optind + 1]);
	if (cmdline->path != NULL && cmdline->uri != NULL)
		return refuse("--upstream takes the place of a file: leave \"%s\" out", cmdline->path);
	if (cmdline->is_import && cmdline->uri != NULL)
		return refuse("--import-pgbouncer needs a file");
	return -1;
}

/* Options take precedence over the file. */
static int
apply_options(const struct cmdline *cmdline, struct config *config)
{
	struct fail why;

	if ((cmdline->is_verbose && config_apply_command_line(config, "log", "level", "debug", &why) < 0) ||
	    (cmdline->user != NULL && config_apply_command_line(config, "pgweir", "run_as", cmdline->user, &why) < 0)) {
		fprintf(stderr, "pgweir: %s\n", why.text);
		return -1;
	}
	return 0;
}

static int
run(const struct cmdline *cmdline, struct config *config, const struct process_start *start)
{
	int ends[2];
	char byte;
	pid_t pid;

	if (!cmdline->is_daemon || start->predecessor_fd >= 0) /* a successor is in the background already */
		return serve(config, start, -1);
	if (strcmp(config->log_destination, "stderr") == 0) {
		fputs("pgweir: -d needs a log file: a process in the background has no standard error\n", stderr);
		config_unref(config);
		return 1;
	}
	/* This process waits until the process in the background serves, or has reported why it can't serve. */
	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		perror("pgweir");
		config_unref(config);
		return 1;
	}
	if (pid == 0) {
		close(ends[0]);
		setsid();
		return serve(config, start, ends[1]);
	}
	config_unref(config);
	close(ends[1]);
	return read(ends[0], &byte, 1) == 1 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct cmdline cmdline = { .called = argv[0] };
	struct config *config;
	struct process_start start = { .argv = argv };
	char program[PATH_MAX];
	char *uri_copy = NULL;
	int code;

	os_hide_memory();
	start.program = os_find_program(argv[0], program, sizeof(program));
	start.predecessor_fd = restart_predecessor_fd();
	if ((code = read_options(&cmdline, argc, argv)) >= 0)
		return code;
	if (!begin_openssl(start.predecessor_fd))
		return 1;
	if (cmdline.is_import) {
		struct config_problems problems = { 0 };
		bool is_done;

		if (file_formats[0] == NULL)
			return report_no_import();
		is_done = file_formats[0]->import(cmdline.path, &problems, stdout);
		print_problems(&problems);
		config_problems_fini(&problems);
		return is_done ? 0 : 1;
	}
	if (cmdline.uri != NULL && (uri_copy = strdup(cmdline.uri)) == NULL) {
		fputs("pgweir: out of memory\n", stderr);
		return 1;
	}
	config = load(cmdline.path, uri_copy, cmdline.is_check, start.predecessor_fd);
	if (cmdline.uri != NULL) {
		hide_password(cmdline.uri);
		secret_free(uri_copy);
	}
	if (config == NULL)
		return 1;
	if (apply_options(&cmdline, config) == 0 && !cmdline.is_dump && !cmdline.is_check)
		return run(&cmdline, config, &start);
	if (cmdline.is_dump)
		config_dump(config, stdout);
	config_unref(config);
	return 0;
}
