/* tests/unit/test_pgbouncer_ini.c - a pgbouncer.ini: what becomes of its settings, and with which words it is refused.
 */
#include "modules/pgbouncer_ini/pgbouncer_ini.h"
#include "config/config.h"
#include "load/load_state.h"
#include "unit.h"

#include <unistd.h>

#define MAIN "[pgbouncer]\nauth_type = trust\n"
#define DATABASES "[databases]\n* = host=db1\n"

static struct config *
load(const char *text, struct config_problems *problems)
{
	return load_text(text, strlen(text), "/nonexistent/pgbouncer.ini", NULL, 0, problems);
}

struct sought {
	const char *section, *key;
	char value[512];
};

static void
on_row(const struct config_row *row, void *arg)
{
	struct sought *sought = arg;

	if (strcmp(row->section, sought->section) != 0 || strcmp(row->key, sought->key) != 0)
		return;
	if (sought->value[0] != '\0')
		strncat(sought->value, " and ", sizeof(sought->value) - strlen(sought->value) - 1);
	strncat(sought->value, row->value, sizeof(sought->value) - strlen(sought->value) - 1);
}

static const struct {
	const char *text, *section, *key, *value;
} becomes[] = {
	/* PgBouncer's defaults, which are not pgweir's */
	{ MAIN DATABASES, "pgweir", "listen", "unix:/tmp/.s.PGSQL.6432" },
	{ MAIN DATABASES, "pgweir", "pool_mode", "session" },
	{ MAIN DATABASES, "pgweir", "max_client_connections", "100" },
	{ MAIN DATABASES, "pgweir", "compat", "pgbouncer" },
	{ MAIN DATABASES, "pool", "pool_size", "20" },
	{ MAIN DATABASES, "pool", "max_overflow", "0" },
	{ MAIN DATABASES, "pool", "pool_timeout", "2min" },
	{ MAIN DATABASES, "pool", "pool_recycle", "1h" },
	{ MAIN DATABASES, "pool", "prepared_statements", "200" },
	{ MAIN DATABASES, "timeouts", "login_timeout", "1min" },
	{ MAIN DATABASES, "timeouts", "connect_timeout", "15s" },
	{ MAIN DATABASES, "tls_client", "mode", "off" },
	{ MAIN DATABASES, "http", "listen", "off" },
	{ MAIN DATABASES, "slow_query", "threshold", "off" },
	/* where clients connect */
	{ MAIN "listen_addr = 10.0.0.1, ::1\nlisten_port = 7000\nunix_socket_dir =\n" DATABASES, "pgweir", "listen",
	  "10.0.0.1:7000 and [::1]:7000" },
	{ MAIN "listen_addr = localhost\nunix_socket_dir = /run\n" DATABASES, "pgweir", "listen",
	  "127.0.0.1:6432 and [::1]:6432 and unix:/run/.s.PGSQL.6432" },
	/* conversions */
	{ MAIN "server_lifetime = 2.5\n" DATABASES, "pool", "pool_recycle", "2500ms" },
	{ MAIN "server_lifetime = 0\n" DATABASES, "pool", "pool_recycle", "1us" },
	{ MAIN "default_pool_size = 0x10\n" DATABASES, "pool", "pool_size", "16" },
	{ MAIN "default_pool_size = 0\n" DATABASES, "pool", "pool_size", "100000" },
	{ MAIN "server_round_robin = 1\n" DATABASES, "pool", "pool_lifo", "off" },
	{ MAIN "pool_mode = Transaction\n" DATABASES, "pgweir", "pool_mode", "transaction" },
	{ MAIN "admin_users = a, b c,d\n" DATABASES, "auth", "admin_users", "a,\"b c\",d" },
	{ MAIN "server_check_query =\n" DATABASES, "pool", "pool_pre_ping", "off" },
	{ MAIN "server_check_query =\n" DATABASES, "pool", "ping_query", "" },
	{ MAIN DATABASES, "pool", "ping_query", "" },
	{ MAIN "server_check_query = select 1;\n" DATABASES, "pool", "ping_query", "select 1;" },
	{ MAIN "verbose = 1\n" DATABASES, "log", "level", "debug" },
	{ MAIN "syslog = 1\n" DATABASES, "log", "destination", "syslog" },
	{ MAIN "logfile = /var/log/x.log\nsyslog = 1\n" DATABASES, "log", "destination", "/var/log/x.log" },
	/* the last one counts, and a second head begins anew */
	{ MAIN "max_client_conn = 5\nmax_client_conn = 6\n" DATABASES, "pgweir", "max_client_connections", "6" },
	{ "[pgbouncer]\nmax_client_conn = 5\n" MAIN DATABASES, "pgweir", "max_client_connections", "100" },
	/* databases and users */
	{ MAIN "[databases]\na = host=x port=6 dbname=b user=c password='it''s \\'\n", "database a", "upstream",
	  "host=x port=6 dbname=b user=c password=***" },
	{ MAIN "[databases]\na =\n", "database a", "upstream", "host=/tmp port=5432" },
	{ MAIN "[databases]\na = host=x,y\n", "database a", "upstream",
	  "host=x,y port=5432 load_balance_hosts=round-robin" },
	{ MAIN "[databases]\na = host=x,y load_balance_hosts=disable timezone=UTC\n", "database a", "upstream",
	  "host=x,y port=5432 load_balance_hosts=disable timezone=UTC" },
	{ MAIN "[databases]\n'a b' = pool_size=3 reserve_pool=4\n", "database \"a b\"", "max_overflow", "4" },
	{ MAIN "[databases]\na = query_wait_timeout=3\n", "database a", "pool_timeout", "3s" },
	{ MAIN "[databases]\na = query_wait_timeout=-1 pool_size=2\n", "database a", "pool_size", "2" },
	{ MAIN DATABASES "[users]\nu = query_wait_timeout=0\n", "user u", "pool_timeout", "0s" },
	{ MAIN "[databases]\na = auth_user=asks\n", "database a", "auth_user", "asks" },
	{ MAIN "auth_query = SELECT $1\n[databases]\na = auth_user=asks\n", "database a", "auth_query", "SELECT $1" },
	{ MAIN "[databases]\na = auth_user=asks auth_dbname=b\nb = dbname=real\n", "database a", "auth_database", "b" },
	{ MAIN "auth_dbname = a\n" DATABASES, "auth", "auth_database", "a" },
	{ MAIN "peer_id = 2\n[peers]\n1 = host=10.0.0.1 port=7\n3 = host=::1\n4 = port=8 pool_size=2\n" DATABASES,
	  "pgweir", "peers", "1=10.0.0.1:7, 3=[::1]:6432, 4=/tmp:8" },
	{ MAIN "server_fast_close = 1\n" DATABASES, "pool", "server_fast_close", "on" },
	{ MAIN DATABASES, "pool", "on_outage", "wait" },
	{ MAIN "login_notify_message = hello there\n" DATABASES, "pgweir", "login_notify_message", "hello there" },
	{ MAIN "client_tls13_ciphers = TLS_AES_128_GCM_SHA256\n" DATABASES, "tls_client", "tls13_ciphers",
	  "TLS_AES_128_GCM_SHA256" },
	{ MAIN "stats_period = 30\n" DATABASES, "log", "stats_interval", "30s" },
	{ MAIN "log_stats = 0\n" DATABASES, "log", "stats_interval", "0s" },
	{ MAIN DATABASES "[users]\nu = pool_mode=statement\n", "user u", "pool_mode", "statement" },
	{ MAIN DATABASES "[users]\nu = query_timeout=7\n", "user u", "query_timeout", "7s" },
	{ MAIN "[databases]\na = pool_size=-1 min_pool_size=2\n", "database a", "min_idle", "2" },
	/* sections of pgweir's win */
	{ MAIN DATABASES "[slow_query]\nthreshold = 2s\n", "slow_query", "threshold", "2s" },
	{ MAIN DATABASES "[http]\nlisten = 127.0.0.1:1\n", "http", "listen", "127.0.0.1:1" },
	{ MAIN "default_pool_size = 7\n[pool]\npool_size = 8\non_outage = hold\n" DATABASES, "pool", "pool_size", "8" },
	{ MAIN "[pgweir]\nlisten = 127.0.0.1:1\n" DATABASES, "pgweir", "listen", "127.0.0.1:1" },
};

Test(bouncer, settings_become_pgweirs)
{
	EACH(row, becomes) {
		struct config_problems problems = { 0 };
		struct config *config = load(row->text, &problems);
		struct sought sought = { .section = row->section, .key = row->key };

		cr_assert_not_null(config, "%s%s", row->text,
				   problems.count > 0 ? problems.list[0].text : "refused without a word");
		config_each(config, on_row, &sought);
		cr_expect_str_eq(sought.value, row->value, "%s[%s] %s: %s", row->text, sought.section, sought.key,
				 sought.value);
		config_unref(config);
		config_problems_fini(&problems);
	}
}

static const struct {
	const char *text, *problem; /* the first one */
} refused[] = {
	{ MAIN "pool_mode = sometimes\n" DATABASES, "/nonexistent/pgbouncer.ini:3: error: pool_mode: \"sometimes\" is "
						    "not one of session, transaction, statement" },
	{ MAIN "max_client_conn = many\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: max_client_conn: must be a whole number" },
	{ MAIN "query_timeout = soon\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: query_timeout: must be a number of seconds" },
	{ MAIN "default_pool_sise = 3\n" DATABASES, "/nonexistent/pgbouncer.ini:3: error: PgBouncer has no setting "
						    "\"default_pool_sise\"; did you mean \"default_pool_size\"?" },
	{ MAIN "auth_dbname = pgbouncer\n" DATABASES, "/nonexistent/pgbouncer.ini:3: error: auth_dbname: cannot use "
						      "the reserved \"pgbouncer\" database as an auth_dbname" },
	{ MAIN "disable_pqexec = 1\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: disable_pqexec: pgweir can't refuse simple queries" },
	{ "[pgbouncer]\nauth_type = gss\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:2: error: auth_type: \"gss\" is not one of any, trust, plain, md5, cert, hba, "
	  "scram-sha-256, ldap, pam" },
	{ MAIN "stats_period = often\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: stats_period: must be a whole number" },
	{ MAIN "dns_max_ttl = long\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: dns_max_ttl: must be a number of seconds" },
	{ MAIN "on_outage = hold\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: PgBouncer has no setting \"on_outage\"; it is pgweir's, in section "
	  "[pool], which this file may have, too" },
	{ MAIN "[slow_query]\nthresold = 1s\n" DATABASES, "/nonexistent/pgbouncer.ini:4: error: unknown setting "
							  "\"thresold\" in [slow_query]; did you mean \"threshold\"?" },
	{ "[pgbouncer]\nclient_tls_sslmode = require\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:2: error: client_tls_sslmode = require needs client_tls_cert_file and "
	  "client_tls_key_file" },
	{ MAIN "listen_addr = db.example\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: listen_addr: db.example:6432: \"db.example\" is not a numeric address; "
	  "use one such as 127.0.0.1 or [::1], or * for all of IPv4" },
	{ "[pgbouncer]\nunix_socket_dir =\nlisten_addr = *\n[databases]\na = port=99999\n",
	  "/nonexistent/pgbouncer.ini:5: error: a: a port must be a number from 1 to 65535" },
	{ "[pgbouncer]\nauth_type = hba\n" DATABASES, "/nonexistent/pgbouncer.ini:2: error: auth_type: hba needs "
						      "auth_hba_file, a file of rules as in PostgreSQL's pg_hba.conf" },
	{ MAIN "[databases]\na = host=x what=ever\n",
	  "/nonexistent/pgbouncer.ini:4: error: a: PgBouncer has no parameter \"what\" here" },
	{ MAIN "[databases]\na = pool_sise=3\n", "/nonexistent/pgbouncer.ini:4: error: a: PgBouncer has no parameter "
						 "\"pool_sise\" here; did you mean \"pool_size\"?" },
	{ MAIN "[databases]\napp = db1:5432\n", "/nonexistent/pgbouncer.ini:4: error: app: a parameter has no \"=\"; "
						"write name=value, like host=db1 port=5432" },
	{ MAIN "[databases]\na = host=\n",
	  "/nonexistent/pgbouncer.ini:4: error: a: host has no value, or its quote has no end" },
	{ MAIN "[databases]\na = pool_size=x\n",
	  "/nonexistent/pgbouncer.ini:4: error: a: pool_size=x: must be a whole number" },
	{ MAIN "[databases]\npgbouncer = host=x\n", "/nonexistent/pgbouncer.ini:4: error: pgbouncer: [database "
						    "pgbouncer]: this name is reserved for the console" },
	{ MAIN "[other]\n" DATABASES,
	  "/nonexistent/pgbouncer.ini:3: error: PgBouncer has no section [other], only [pgbouncer], [databases], "
	  "[users] and [peers]; pgweir's own, such as [http] and [slow_query], may stand beside them" },
	{ MAIN "%include /nonexistent/more.ini\n" DATABASES, "/nonexistent/pgbouncer.ini:3: error: %include: could not "
							     "open /nonexistent/more.ini: No such file or directory" },
	{ DATABASES, "/nonexistent/pgbouncer.ini: error: there is no [pgbouncer] section" },
};

Test(bouncer, mistakes_are_told_with_pgbouncers_file_line_and_name)
{
	EACH(row, refused) {
		struct config_problems problems = { 0 };
		struct config *config = load(row->text, &problems);
		const char *first = "";

		cr_expect_null(config, "%s", row->text);
		for (size_t j = problems.count; j > 0; j--)
			if (problems.list[j - 1].is_error)
				first = problems.list[j - 1].text;
			else
				cr_expect_null(strstr(problems.list[j - 1].text, "has none"), "%s", row->text);
		cr_expect_str_eq(first, row->problem, "%s%s", row->text, first);
		config_unref(config);
		config_problems_fini(&problems);
	}
}

/* PgBouncer starts with all of these. */
static const struct {
	const char *text, *section, *key, *value, *warning;
} warned[] = {
	{ MAIN "max_client_conn = -5\n" DATABASES, "pgweir", "max_client_connections", "1",
	  "/nonexistent/pgbouncer.ini:3: warning: max_client_conn: the value must be from 1 to 1000000. The value 1 is "
	  "used." },
	{ MAIN "default_pool_size = 2000000\n" DATABASES, "pool", "pool_size", "100000",
	  "/nonexistent/pgbouncer.ini:3: warning: default_pool_size: the value must be from 0 to 100000. The value "
	  "100000 is used." },
	{ MAIN "reserve_pool_timeout = 100000\n" DATABASES, "pool", "overflow_delay", "1d",
	  "/nonexistent/pgbouncer.ini:3: warning: reserve_pool_timeout: the value must be from 0s to 1d. The value 1d "
	  "is used." },
	{ MAIN "stats_users_prefix = robot_\n" DATABASES, "auth", "stats_users", "",
	  "/nonexistent/pgbouncer.ini:3: warning: stats_users_prefix, which only a fork of PgBouncer has, is not "
	  "followed: name in stats_users each user who may look at the console" },
	{ MAIN, "pgweir", "pool_mode", "session",
	  "/nonexistent/pgbouncer.ini: warning: [databases] has none: clients can only use the console; for all of "
	  "them: * = host=127.0.0.1" },
	{ "[pgbouncer]\nauth_file = /nonexistent/users\n" DATABASES, "auth", "method", "md5",
	  "/nonexistent/pgbouncer.ini:2: warning: auth_file = /nonexistent/users: No such file or directory" },
	{ MAIN "min_pool_size = 30\n" DATABASES, "pool", "min_idle", "30",
	  "/nonexistent/pgbouncer.ini:3: warning: min_pool_size = 30 is more than default_pool_size = 20; no more than "
	  "default_pool_size are kept" },
};

Test(bouncer, what_pgbouncer_starts_with_is_warned_of_in_its_words)
{
	EACH(row, warned) {
		struct config_problems problems = { 0 };
		struct config *config = load(row->text, &problems);
		struct sought sought = { .section = row->section, .key = row->key };

		cr_assert_not_null(config, "%s", row->text);
		cr_assert_eq(problems.count, 1, "%s", row->text);
		cr_expect_str_eq(problems.list[0].text, row->warning, "%s", problems.list[0].text);
		config_each(config, on_row, &sought);
		cr_expect_str_eq(sought.value, row->value, "%s", sought.value);
		config_unref(config);
		config_problems_fini(&problems);
	}
}

Test(bouncer, advice_names_settings_as_the_file_does)
{
	static const char *const said[][2] = {
		{ "Add it to admin_users or stats_users in section [auth] of pgweir.ini.",
		  "Add it to admin_users or stats_users." },
		{ "check mode in section [tls_client] of pgweir.ini", "check client_tls_sslmode" },
		{ "Raise pool_size or max_overflow, or see", "Raise default_pool_size or reserve_pool_size, or see" },
		{ "raise max_memory in section [limits] of pgweir.ini.", "raise max_memory in section [limits]." },
		{ "Put it into users_file; set mode in section [tls_server].",
		  "Put it into auth_file; set server_tls_sslmode." },
		{ "\"users_file\" is what somebody named it: /tmp/users_file",
		  "\"users_file\" is what somebody named it: /tmp/users_file" },
		{ "certificate_file of one of two", "certificate_file of one of two" },
		{ "", "" },
	};

	for (size_t i = 0; i < COUNT(said); i++) {
		char text[256];

		snprintf(text, sizeof(text), "%s", said[i][0]);
		bouncer_problem_words.reword(text, sizeof(text));
		cr_expect_str_eq(text, said[i][1], "%s", text);
	}
}

Test(bouncer, included_files_have_their_own_lines)
{
	char path[] = "/tmp/pgweir-test-XXXXXX", text[256], want[128];
	struct config_problems problems = { 0 };
	int fd = mkstemp(path);

	cr_assert(fd >= 0);
	cr_assert(write(fd, "; one\npool_mode = never\n", 24) == 24);
	close(fd);
	snprintf(text, sizeof(text), "[pgbouncer]\n%%include %s\nauth_type = trust\n" DATABASES, path);
	cr_assert_null(load(text, &problems));
	unlink(path);
	snprintf(want, sizeof(want), "%s:2: error: pool_mode: ", path);
	cr_assert_eq(problems.count, 1);
	cr_assert(strncmp(problems.list[0].text, want, strlen(want)) == 0, "%s", problems.list[0].text);
	config_problems_fini(&problems);
}

Test(bouncer, is_told_from_pgweirs_own_file)
{
	static const char theirs[] = "; a\n  [databases]\n", ours[] = "; [pgbouncer]\n[pgweir]\n[databases]\n";

	cr_expect(bouncer_is_ini(theirs, strlen(theirs)));
	cr_expect_not(bouncer_is_ini(ours, strlen(ours)));
	cr_expect_not(bouncer_is_ini("", 0));
}

Test(bouncer, the_import_says_what_became_of_each_setting)
{
	static const char text[] = MAIN "default_pool_size = 7\npkt_buf = 8192\n[databases]\na = host=x dbname=y\n";
	struct config_problems problems = { 0 };
	char *out = NULL;
	size_t len;
	FILE *to = open_memstream(&out, &len);

	cr_assert(bouncer_import_text(text, strlen(text), "p.ini", &problems, to));
	fclose(to);
	cr_expect_not_null(strstr(out, "; p.ini:3: default_pool_size = 7\npool_size = 7\n"), "%s", out);
	cr_expect_not_null(strstr(out, "; not set there: max_client_conn = 100\nmax_client_connections = 100\n"));
	cr_expect_not_null(strstr(out, "[database a]\n; p.ini:6\nupstream = host=x dbname=y\n"));
	cr_expect_not_null(strstr(out, "; p.ini:4: pkt_buf = 8192: pgweir sizes its buffers itself\n"));
	free(out);
	config_problems_fini(&problems);
}

static struct config *
load_with(const char *text, const char *name, const char *value, struct config_problems *problems)
{
	const struct config_override override = { name, value };

	return load_text(text, strlen(text), "/nonexistent/x.ini", &override, 1, problems);
}

Test(bouncer, what_is_set_wins_over_the_file)
{
	static const char theirs[] = MAIN "default_pool_size = 7\n" DATABASES;
	static const char ours[] =
	    "[pgweir]\n[pool]\npool_size = 7\n[auth]\nmethod = trust\n[database *]\nupstream = host=x\n";
	static const struct {
		const char *text, *name, *value;
		uint32_t pool_size; /* 0: refused */
		const char *problem;
	} rows[] = {
		{ theirs, "default_pool_size", "9", 9, NULL },
		{ theirs, "default_pool_size", "x", 0,
		  "/nonexistent/x.ini: error: default_pool_size: must be a whole number" },
		{ theirs, "nothing", "1", 0, "/nonexistent/x.ini: error: PgBouncer has no setting \"nothing\"" },
		{ ours, "pool.pool_size", "9", 9, NULL },
		{ ours, "default_pool_size", "9", 9, NULL },
		{ ours, "pool.pool_size", "0", 0,
		  "/nonexistent/x.ini: error: pool.pool_size: must be a whole number from 1 to 100000" },
		{ ours, "pgweir.listen", "*:1", 0,
		  "/nonexistent/x.ini: error: pgweir.listen cannot be set while pgweir runs" },
		{ ours, "nothing", "9", 0, "/nonexistent/x.ini: error: nothing cannot be set while pgweir runs" },
	};

	EACH(row, rows) {
		struct config_problems problems = { 0 };
		struct config *config = load_with(row->text, row->name, row->value, &problems);

		cr_expect_eq(config != NULL ? config->defaults.pool_size : 0, row->pool_size, "%s = %s", row->name,
			     row->value);
		if (row->problem != NULL)
			for (size_t j = 0; j < problems.count; j++)
				if (problems.list[j].is_error)
					cr_expect_str_eq(problems.list[j].text, row->problem);
		config_unref(config);
		config_problems_fini(&problems);
	}
}

Test(bouncer, each_name_has_a_setting_that_exists_or_a_reason)
{
	const struct bouncer_word *word;
	const struct bouncer_key *key;

	for (size_t i = 0; (key = bouncer_key_at(i)) != NULL; i++) {
		char text[512];

		cr_expect((key->section == NULL) == (key->fate >= BOUNCER_IGNORED), "%s", key->name);
		cr_expect(key->section != NULL ? bouncer_key_in_pgweir(key) != NULL : key->note != NULL, "%s",
			  key->name);
		suggest_setting("http", 0, key->name, text, sizeof(text));
		cr_expect(strncmp(text, "unknown", 7) != 0 && strstr(text, "no such") == NULL, "%s", text);
	}
	for (size_t i = 0; (word = bouncer_word_at(i)) != NULL; i++) {
		const struct bouncer_key *in_main = word->key != NULL ? bouncer_key_find(word->key) : NULL;

		cr_expect(word->part == WORD_SETTING
			      ? in_main != NULL && bouncer_key_in_pgweir(in_main)->scope_name != NULL
			      : word->note != NULL,
			  "%s", word->name);
	}
}
