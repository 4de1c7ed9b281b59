/*
 * src/main.c - the command line, then weir_run().
 *
 * Exit codes: 0 all is well, 1 the configuration is wrong or it could not start, 2 the command line is wrong.
 */
#include "weir.h"

#include "build.h"

#include <event2/event.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_CHECK = 256, OPT_DUMP, OPT_UPSTREAM, OPT_KEYS };

static void
usage(FILE *to)
{
	fputs(
	    "Usage: pgweir [OPTION] [FILE]\n"
	    "Connection-pooling proxy for PostgreSQL.\n"
	    "\n"
	    "  pgweir FILE                     run with a configuration file (pgweir.ini)\n"
	    "  pgweir --upstream URI           run with no file: postgres://user@host:port/database\n"
	    "\n"
	    "  --check-config FILE             print every problem with its line, then exit (0: none, 1: some)\n"
	    "  --dump-config [FILE]            print the settings in force; with --upstream, those it amounts to\n"
	    "  --help-config                   print every setting: unit, default, meaning\n"
	    "  -h, --help                      this text\n"
	    "  -V, --version                   versions of pgweir and its libraries\n"
	    "\n"
	    "With --upstream, pgweir listens on 127.0.0.1:6432 and has metrics on http://127.0.0.1:9930/metrics. The\n"
	    "password comes from the URI, PGPASSWORD or the passfile, and is what clients log in with, too.\n"
	    "\n"
	    "Signals: HUP reloads and reopens logs; TERM finishes open transactions, then ends; INT and QUIT end at "
	    "once;\n"
	    "USR1 pauses, USR2 resumes.\n",
	    to);
}

static void
version(void)
{
	printf("pgweir %s\nlibevent %s\n%s\n", PGWEIR_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION));
}

static void
print_problems(const struct config_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		fprintf(stderr, "%s\n", problems->list[i].text);
}

static void
print_sum(const char *path, const struct config_problems *problems)
{
	size_t warnings = problems->count - problems->error_count;

	fprintf(stderr, "%s: %zu error%s, %zu warning%s\n", path, problems->error_count,
		problems->error_count == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
}

static struct config *
load(const char *path, const char *uri, bool is_check)
{
	struct config_problems problems = { 0 };
	struct config *config = uri != NULL ? config_from_upstream(uri, &problems) : config_load(path, &problems);

	if (config != NULL && weir_check_files(config, &problems) < 0) {
		config_unref(config);
		config = NULL;
	}
	if (config != NULL && is_check)
		weir_check_secrets(config, &problems);
	print_problems(&problems);
	if (is_check || problems.error_count > 0)
		print_sum(path != NULL ? path : "--upstream", &problems);
	config_problems_fini(&problems);
	return config;
}

static void
greet(const struct config *config)
{
	const struct upstream *up = config->database_count > 0 ? config->databases[0].upstream : NULL;

	if (config->path[0] != '\0' || up == NULL)
		return;
	fprintf(stderr, "pgweir: connect with   psql -h 127.0.0.1 -p 6432 -U %s %s\n",
		config->single_user[0] != '\0' ? config->single_user : "USER",
		up->dbname[0] != '\0' ? up->dbname : "DATABASE");
	if (config->http_enabled)
		fprintf(stderr, "pgweir: metrics are at http://%s/metrics\n", config->http_listen.text);
}

/* Takes config: what it was at the start is not kept beyond the first reload, nor are the passwords in it. */
static int
serve(struct config *config)
{
	struct fail why;
	struct weir *w = weir_new(config, &why);

	if (w == NULL) {
		fprintf(stderr, "pgweir: %s\n", why.text);
		if (why.hint[0] != '\0')
			fprintf(stderr, "pgweir: %s\n", why.hint);
		config_unref(config);
		return 1;
	}
	greet(config);
	config_unref(config);
	weir_run(w);
	weir_free(w);
	return 0;
}

/* A password on the command line can be read by everyone on the machine: it is taken, then overwritten. */
static void
hide_password(char *uri)
{
	char *scheme = strstr(uri, "://"), *at, *colon, *slash;

	if (scheme == NULL)
		return;
	scheme += 3;
	slash = scheme + strcspn(scheme, "/?");
	at = memchr(scheme, '@', (size_t)(slash - scheme));
	colon = at == NULL ? NULL : memchr(scheme, ':', (size_t)(at - scheme));
	if (colon == NULL)
		return;
	fputs("pgweir: warning: others can see a password on the command line; use PGPASSWORD or ~/.pgpass\n", stderr);
	for (char *p = colon + 1; p < at; p++)
		*p = '*';
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "check-config", no_argument, NULL, OPT_CHECK },
						 { "dump-config", no_argument, NULL, OPT_DUMP },
						 { "upstream", required_argument, NULL, OPT_UPSTREAM },
						 { "help-config", no_argument, NULL, OPT_KEYS },
						 { "help", no_argument, NULL, 'h' },
						 { "version", no_argument, NULL, 'V' },
						 { NULL, 0, NULL, 0 } };
	bool is_check = false, is_dump = false;
	char *uri = NULL, *kept = NULL;
	struct config *config;
	const char *path;
	int o;

	weir_hide_memory();
	while ((o = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
		switch (o) {
		case OPT_CHECK:
			is_check = true;
			break;
		case OPT_DUMP:
			is_dump = true;
			break;
		case OPT_UPSTREAM:
			uri = optarg;
			break;
		case OPT_KEYS:
			config_print_keys(stdout);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			version();
			return 0;
		default:
			fputs("Try 'pgweir --help'.\n", stderr);
			return 2;
		}
	}
	path = optind < argc ? argv[optind] : NULL;
	if ((path == NULL) == (uri == NULL) || optind + 1 < argc) {
		usage(stderr);
		return 2;
	}
	if (uri != NULL && (kept = strdup(uri)) == NULL)
		return 1;
	config = load(path, kept, is_check);
	if (uri != NULL) {
		hide_password(uri);
		OPENSSL_cleanse(kept, strlen(kept));
		free(kept);
	}
	if (config == NULL)
		return 1;
	if (is_dump)
		config_dump(config, stdout);
	else if (!is_check)
		return serve(config);
	config_unref(config);
	return 0;
}
