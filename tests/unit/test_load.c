/* tests/unit/test_load.c - the configuration file: what is read, what is refused and with which words. */
#include "base/counters.h"
#include "config/config.h"
#include "config/config_keys.h"
#include "config/config_value.h"

#include "build.h"
#include "load/load_state.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#define DATABASE "[database *]\nupstream = host=h\n"
#define TRUST "[auth]\nmethod = trust\n"
#define BASE DATABASE TRUST /* four lines that make a whole file */

/* A folder of its own for each test; the configuration is in pgweir.ini, a good users_file in users.txt. */
static struct files {
	char folder[64], ini[96], users[96];
} files;

static void
put_file(const char *path, const char *text, size_t len, mode_t mode)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(text, 1, len, file), len);
	fclose(file);
	chmod(path, mode);
}

static void
files_init(void)
{
	snprintf(files.folder, sizeof(files.folder), "/tmp/pgweir-test-XXXXXX");
	cr_assert_not_null(mkdtemp(files.folder));
	snprintf(files.ini, sizeof(files.ini), "%s/pgweir.ini", files.folder);
	snprintf(files.users, sizeof(files.users), "%s/users.txt", files.folder);
	put_file(files.users, "\"app\" \"secret\"\n", 15, 0640);
}

static void
files_fini(void)
{
	unlink(files.ini);
	unlink(files.users);
	rmdir(files.folder);
}

TestSuite(config, .init = files_init, .fini = files_fini);

static struct config *
load_bytes(const char *text, size_t len, struct config_problems *problems)
{
	put_file(files.ini, text, len, 0640);
	return load_config(files.ini, NULL, 0, problems);
}

static struct config *
load(const char *text, struct config_problems *problems)
{
	return load_bytes(text, strlen(text), problems);
}

/* One that must be all right. */
static struct config *
load_good(const char *text)
{
	struct config_problems problems = { 0 };
	struct config *config = load(text, &problems);

	cr_assert_not_null(config, "%s", problems.count > 0 ? problems.list[0].text : "no reason given");
	cr_assert_eq(problems.count, 0, "%s", problems.list[0].text);
	config_problems_fini(&problems);
	return config;
}

/* Problem i without the folder: "pgweir.ini:3: error: ..." */
static const char *
problem_text(const struct config_problems *problems, size_t i)
{
	size_t folder_len = strlen(files.folder) + 1;
	const char *text = i < problems->count ? problems->list[i].text : "";

	return strncmp(text, files.folder, strlen(files.folder)) == 0 ? text + folder_len : text;
}

/* --- what is refused -------------------------------------------------------------------------------------------- */

static const struct {
	const char *rule, *text, *problem; /* the only one there is */
} bad[] = {
	/* names */
	{ "a typing error", BASE "[pool]\npool_sise = 5\n",
	  "pgweir.ini:6: error: unknown setting \"pool_sise\" in [pool]; did you mean \"pool_size\"?" },
	{ "letters exchanged", BASE "[pool]\npool_szie = 5\n",
	  "pgweir.ini:6: error: unknown setting \"pool_szie\" in [pool]; did you mean \"pool_size\"?" },
	{ "a short name", BASE "[tls_client]\ncert_file = /a\n",
	  "pgweir.ini:6: error: unknown setting \"cert_file\" in [tls_client]; did you mean \"certificate_file\"?" },
	{ "a shorter one", BASE "[tls_client]\nkey = /a\n",
	  "pgweir.ini:6: error: unknown setting \"key\" in [tls_client]; did you mean \"key_file\"?" },
	{ "a short name, nearly", BASE "[pgweir]\nmax_clients = 5\n",
	  "pgweir.ini:6: error: unknown setting \"max_clients\" in [pgweir]; did you mean "
	  "\"max_client_connections\"?" },
	{ "a short name is rather one of this section", DATABASE TRUST "users = /a\n",
	  "pgweir.ini:5: error: unknown setting \"users\" in [auth]; did you mean \"users_file\"?" },
	{ "the name of its section is before it", BASE "[pgweir]\nlog_level = debug\n",
	  "pgweir.ini:6: error: unknown setting \"log_level\" in [pgweir]; did you mean \"level\" in [log]?" },
	{ "the name of its section is not before it", BASE "[pool]\nmode = session\n",
	  "pgweir.ini:6: error: unknown setting \"mode\" in [pool]; did you mean \"pool_mode\" in [pgweir]?" },
	{ "one word is short for too many of other sections", BASE "[http]\naddress = ::1\n",
	  "pgweir.ini:6: error: unknown setting \"address\" in [http]; docs/config.md has all names, docs/migrating.md "
	  "those of other poolers" },
#ifdef WITH_PGBOUNCER_INI
	{ "where pgweir listens", BASE "[http]\nport = 5\n",
	  "pgweir.ini:6: error: \"port\" is PgBouncer's name; for pgweir's own write listen = 127.0.0.1:6432; for "
	  "PostgreSQL's write it into upstream, for example upstream = host=db1 port=5432 dbname=app user=web" },
#endif
	{ "in another section", BASE "[pool]\nquery_timeot = 5s\n",
	  "pgweir.ini:6: error: unknown setting \"query_timeot\" in [pool]; did you mean \"query_timeout\" in "
	  "[timeouts]?" },
	{ "a right name in the wrong section", BASE "[pgweir]\npool_size = 5\n",
	  "pgweir.ini:6: error: \"pool_size\" belongs in [pool], not in [pgweir]" },
	{ "a limit in both of its sections",
	  BASE "[pgweir]\nmax_server_connections = 50\n[limits]\nmax_server_connections = 50\n",
	  "pgweir.ini:8: error: \"max_server_connections\" was already set on line 6; remove one" },
	{ "a name of several sections", BASE "[pool]\nca_file = x\n",
	  "pgweir.ini:6: error: \"ca_file\" belongs in [tls_client] or [tls_server], not in [pool]" },
	{ "a name of another section, where files have other names", TRUST "destination = x\n" DATABASE,
	  "pgweir.ini:3: error: \"destination\" belongs in [log], not in [auth]; [auth] has \"users_file\", "
	  "\"hba_file\", \"ident_file\"" },
#ifdef WITH_SLOWLOG
	{ "a name of another section, where a file has quite another name", BASE "[log]\nfile = x\n",
	  "pgweir.ini:6: error: \"file\" belongs in [slow_query], not in [log]; [log] has \"destination\"" },
#endif
	{ "a name of other sections that is short for two of this one", BASE "[pgweir]\nmode = session\n",
	  "pgweir.ini:6: error: \"mode\" belongs in [tls_client] or [tls_server], not in [pgweir]; [pgweir] has "
	  "\"pool_mode\", \"unix_socket_mode\"" },
	{ "nothing like it", BASE "[pool]\nzebra = 5\n",
	  "pgweir.ini:6: error: unknown setting \"zebra\" in [pool]; docs/config.md has all names, docs/migrating.md "
	  "those of other poolers" },
#ifdef WITH_PGBOUNCER_INI
	{ "PgBouncer's name", BASE "[pool]\ndefault_pool_size = 5\n",
	  "pgweir.ini:6: error: \"default_pool_size\" is PgBouncer's name; here it is \"pool_size\"" },
	{ "PgBouncer's name for something elsewhere", BASE "[pgweir]\nserver_lifetime = 5\n",
	  "pgweir.ini:6: error: \"server_lifetime\" is PgBouncer's name; here it is \"pool_recycle\" in [pool]" },
	{ "PgBouncer's name for something not needed", BASE "[pool]\nserver_reset_query = DISCARD ALL\n",
	  "pgweir.ini:6: error: \"server_reset_query\" is PgBouncer's name; not needed: pgweir itself clears what a "
	  "client has left in a server connection, and only what there is" },
	{ "PgBouncer's name with a typing error", BASE "[pool]\ndefualt_pool_size = 5\n",
	  "pgweir.ini:6: error: unknown setting \"defualt_pool_size\" in [pool]; did you mean PgBouncer's "
	  "\"default_pool_size\"? Here it is \"pool_size\" in [pool]" },
	{ "the words of upstream on lines of their own", TRUST "[database *]\nupstream = host=h\nport = 5\n",
	  "pgweir.ini:5: error: \"port\" is PgBouncer's name; write it into upstream, for example upstream = host=db1 "
	  "port=5432 dbname=app user=web" },
	{ "a word of upstream that the example has not", BASE "[pool]\nconnect_query = SELECT 1\n",
	  "pgweir.ini:6: error: \"connect_query\" is PgBouncer's name; write it into upstream, for example upstream = "
	  "host=db1 port=5432 dbname=app user=web connect_query=..." },
#endif
	{ "more workers than there may be", BASE "[pgweir]\nworkers = 17\n",
	  "pgweir.ini:6: error: workers = 17: must be a whole number from 1 to 16. The word auto is allowed, too." },
	{ "a number of workers that is none", BASE "[pgweir]\nworkers = many\n",
	  "pgweir.ini:6: error: workers = many: must be a whole number from 1 to 16. The word auto is allowed, too." },
	{ "set twice", BASE "[pool]\npool_size = 5\nmax_overflow = 1\npool_size = 5\n",
	  "pgweir.ini:8: error: \"pool_size\" was already set on line 6; remove one" },
	{ "set twice for a database", TRUST DATABASE "pool_size = 5\npool_size = 5\n",
	  "pgweir.ini:6: error: \"pool_size\" was already set on line 5; remove one" },
	{ "the first value was bad, it counts all the same", BASE "[pool]\npool_size = x\npool_size = 5\n",
	  "pgweir.ini:6: error: pool_size = x: must be a whole number from 1 to 100000" },

	/* values */
	{ "a time without a unit", BASE "[pool]\npool_timeout = 30\n",
	  "pgweir.ini:6: error: pool_timeout = 30: a time needs a unit, for example 30s or 500ms" },
	{ "a time with another unit", BASE "[pool]\npool_timeout = 30 sec\n",
	  "pgweir.ini:6: error: pool_timeout = 30 sec: \"sec\" is not a unit of time; use us, ms, s, min, h or d" },
	{ "no time", BASE "[pool]\npool_timeout = soon\n",
	  "pgweir.ini:6: error: pool_timeout = soon: a time must be a whole number with a unit, for example 30s or "
	  "500ms" },
	{ "SQLAlchemy's -1 for never", BASE "[pool]\npool_recycle = -1\n",
	  "pgweir.ini:6: error: pool_recycle = -1: a time must be a whole number with a unit, for example 30s or "
	  "500ms. Use 0s for none." },
	{ "a time with a fraction", BASE "[pool]\npool_timeout = 1.5s\n",
	  "pgweir.ini:6: error: pool_timeout = 1.5s: \".5s\" is not a unit of time; use us, ms, s, min, h or d" },
	{ "a time above what is sensible", BASE "[pool]\npool_timeout = 2d\n",
	  "pgweir.ini:6: error: pool_timeout = 2d: must be in the range 0s to 1d" },
	{ "a time that must be", BASE "[timeouts]\nlogin_timeout = 0s\n",
	  "pgweir.ini:6: error: login_timeout = 0s: must be in the range 1ms to 1h" },
	{ "a time beyond 64 bits", BASE "[pool]\npool_timeout = 99999999999999d\n",
	  "pgweir.ini:6: error: pool_timeout = 99999999999999d: this time is too large" },
	{ "a time with off where it has no meaning", BASE "[pool]\npool_timeout = off\n",
	  "pgweir.ini:6: error: pool_timeout = off: a time must be a whole number with a unit, for example 30s or "
	  "500ms" },
	{ "a time that may be off", BASE "[slow_query]\nthreshold = 100\n",
	  "pgweir.ini:6: error: threshold = 100: a time needs a unit, for example 30s or 500ms. The word off is "
	  "allowed, too." },
	{ "a size without a unit", BASE "[pool]\nmax_statement_size = 1000\n",
	  "pgweir.ini:6: error: max_statement_size = 1000: a size needs a unit, for example 1MiB or 16KiB" },
	{ "a size with the other units", BASE "[pool]\nmax_statement_size = 1TB\n",
	  "pgweir.ini:6: error: max_statement_size = 1TB: \"TB\" is not a unit of size; use B, KiB, MiB or GiB" },
	{ "a size of nothing", BASE "[pool]\nmax_statement_size = 0B\n",
	  "pgweir.ini:6: error: max_statement_size = 0B: must be in the range 1B to 1GiB" },
	{ "no pipeline at all", BASE "[pool]\nmax_pipeline = 0\n",
	  "pgweir.ini:6: error: max_pipeline = 0: must be a whole number from 1 to 8" },
	{ "a pipeline that is too long", BASE "[pool]\nmax_pipeline = 99\n",
	  "pgweir.ini:6: error: max_pipeline = 99: must be a whole number from 1 to 8" },
	{ "a number below", BASE "[pool]\npool_size = 0\n",
	  "pgweir.ini:6: error: pool_size = 0: must be a whole number from 1 to 100000" },
	{ "SQLAlchemy's -1 for no limit", BASE "[pool]\nmax_overflow = -1\n",
	  "pgweir.ini:6: error: max_overflow = -1: must be a whole number from 0 to 100000" },
	{ "a number beyond 64 bits", BASE "[pool]\npool_size = 18446744073709551617\n",
	  "pgweir.ini:6: error: pool_size = 18446744073709551617: must be a whole number from 1 to 100000" },
	{ "an empty number", BASE "[pool]\npool_size =\n",
	  "pgweir.ini:6: error: pool_size = : must be a whole number from 1 to 100000" },
	{ "a switch with a number", BASE "[pool]\npool_pre_ping = 2\n",
	  "pgweir.ini:6: error: pool_pre_ping = 2: use on or off" },
	{ "a mistyped switch", BASE "[pool]\npool_pre_ping = flase\n",
	  "pgweir.ini:6: error: pool_pre_ping = flase: use on or off. Did you mean false?" },
	{ "letters of a word that changed places", BASE "[pgweir]\npool_mode = transcation\n",
	  "pgweir.ini:6: error: pool_mode = transcation: use session, transaction or statement. Did you mean "
	  "transaction?" },
	{ "an unknown word", BASE "[pgweir]\npool_mode = transactions\n",
	  "pgweir.ini:6: error: pool_mode = transactions: use session, transaction or statement. Did you mean "
	  "transaction?" },
	{ "an unknown word among others", BASE "[pgweir]\nrefuse = ddl, update_without_were\n",
	  "pgweir.ini:6: error: refuse = ddl, update_without_were: use update_without_where, delete_without_where, ddl "
	  "or multi_statement. Did you mean update_without_where?" },
	{ "a comma behind the words", BASE "[pgweir]\nrefuse = ddl,\n",
	  "pgweir.ini:6: error: refuse = ddl,: a name is missing after the last comma" },
	{ "an unknown version", BASE "[tls_client]\nmin_version = 1.0\n",
	  "pgweir.ini:6: error: min_version = 1.0: use 1.2 or 1.3" },
	{ "a share above all", BASE "[slow_query]\nsample_rate = 1.5\n",
	  "pgweir.ini:6: error: sample_rate = 1.5: must be a number from 0 to 1, for example 0.01" },
	{ "a share with a comma", BASE "[slow_query]\nsample_rate = 0,5\n",
	  "pgweir.ini:6: error: sample_rate = 0,5: must be a number from 0 to 1, for example 0.01" },
	{ "a share of infinity", BASE "[slow_query]\nsample_rate = inf\n",
	  "pgweir.ini:6: error: sample_rate = inf: must be a number from 0 to 1, for example 0.01" },
	{ "a short word", BASE "[log]\nlevel = warn\n",
	  "pgweir.ini:6: error: level = warn: use error, warning, info or debug. Did you mean warning?" },
	{ "a word in capitals", BASE "[log]\nlevel = INFO\n",
	  "pgweir.ini:6: error: level = INFO: use error, warning, info or debug. Did you mean info?" },
	{ "a word that is short for two", BASE "[tls_client]\nmode = verify\n",
	  "pgweir.ini:6: error: mode = verify: use off, allow, prefer, require, verify-ca or verify-full" },
	{ "a mistyped word is no file", BASE "[log]\ndestination = stdrr\n",
	  "pgweir.ini:6: error: destination = stdrr: use stderr, syslog or a path that begins with /. Did you mean "
	  "stderr?" },
	{ "a name is missing in a list", DATABASE TRUST "admin_users = a,,b\n",
	  "pgweir.ini:5: error: admin_users = a,,b: a name is missing" },
	{ "a comma at the end of a list", DATABASE TRUST "admin_users = a,\n",
	  "pgweir.ini:5: error: admin_users = a,: a name is missing after the last comma" },
	{ "a quote without an end in a list", DATABASE TRUST "admin_users = \"a,b\n",
	  "pgweir.ini:5: error: admin_users = \"a,b: a name in quotes is at most 63 bytes long, then the quote ends" },

	/* addresses */
	{ "no port", BASE "[pgweir]\nlisten = 127.0.0.1\n",
	  "pgweir.ini:6: error: listen = 127.0.0.1: must be an address and a port, for example 127.0.0.1:6432" },
	{ "port 0", BASE "[pgweir]\nlisten = 127.0.0.1:0\n",
	  "pgweir.ini:6: error: listen = 127.0.0.1:0: the port must be a number from 1 to 65535" },
	{ "port 65536", BASE "[pgweir]\nlisten = 127.0.0.1:65536\n",
	  "pgweir.ini:6: error: listen = 127.0.0.1:65536: the port must be a number from 1 to 65535" },
	{ "a host name", BASE "[pgweir]\nlisten = db1:6432\n",
	  "pgweir.ini:6: error: listen = db1:6432: \"db1\" is not a numeric address; use one such as 127.0.0.1 or "
	  "[::1], or * for all of IPv4" },
	{ "IPv6 without brackets", BASE "[pgweir]\nlisten = ::1:6432\n",
	  "pgweir.ini:6: error: listen = ::1:6432: put brackets around an IPv6 address, for example [::1]:6432" },
	{ "no IPv6 in the brackets", BASE "[pgweir]\nlisten = [127.0.0.1]:6432\n",
	  "pgweir.ini:6: error: listen = [127.0.0.1]:6432: a numeric IPv6 address must stand between [ and ], for "
	  "example [::1]:6432" },
	{ "a relative socket", BASE "[pgweir]\nlisten = unix:x\n",
	  "pgweir.ini:6: error: listen = unix:x: a Unix socket is unix: and a path that begins with /" },
	{ "a socket with too long a path",
	  BASE "[pgweir]\nlisten = "
	       "unix:/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/"
	       "123456789/12345678\n",
	  "pgweir.ini:6: error: listen = "
	  "unix:/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/"
	  "12345678: the path of a Unix socket must have at most 107 bytes" },
	{ "the address of the metrics", BASE "[http]\nlisten = 127.0.0.1:6432\n",
	  "pgweir.ini:6: error: listen = 127.0.0.1:6432: [pgweir] already listens on this address" },
	{ "trust for the whole network", BASE "[pgweir]\nlisten = 0.0.0.0:6432\n",
	  "pgweir.ini:6: error: listen = 0.0.0.0:6432: with method = trust in [auth] anyone who reaches this address "
	  "is let in; listen on loopback or a Unix socket, or set another method" },
	{ "the same with IPv6", BASE "[pgweir]\nlisten = 127.0.0.1:1\nlisten = [::]:6432\n",
	  "pgweir.ini:7: error: listen = [::]:6432: with method = trust in [auth] anyone who reaches this address is "
	  "let in; listen on loopback or a Unix socket, or set another method" },

	/* from elsewhere */
	{ "a variable that is not set", BASE "[pool]\npool_size = ${PGWEIR_TEST_NONE}\n",
	  "pgweir.ini:6: error: ${PGWEIR_TEST_NONE} is not set in the environment" },
	{ "two variables that are not set",
	  BASE "[log]\ndestination = /${PGWEIR_TEST_NONE}/${PGWEIR_TEST_SECRET}/${PGWEIR_TEST_NIL}\n",
	  "pgweir.ini:6: error: ${PGWEIR_TEST_NONE}, ${PGWEIR_TEST_NIL} are not set in the environment" },
	{ "a variable without an end", BASE "[pool]\npool_size = ${X\n",
	  "pgweir.ini:6: error: ${ without }; $$ is a dollar sign" },
	{ "a variable of no name", BASE "[pool]\npool_size = ${}\n",
	  "pgweir.ini:6: error: ${...} must have the name of a variable, or file:/path; $$ is a dollar sign" },
	{ "the value of a variable is not repeated", BASE "[pool]\npool_size = ${PGWEIR_TEST_SECRET}\n",
	  "pgweir.ini:6: error: pool_size = ${PGWEIR_TEST_SECRET}: must be a whole number from 1 to 100000" },
	{ "a relative file", BASE "[pool]\npool_size = ${file:x}\n",
	  "pgweir.ini:6: error: ${file:...} needs a path that begins with /" },
	{ "a file that is not there", BASE "[pool]\npool_size = ${file:/nonexistent/x}\n",
	  "pgweir.ini:6: error: could not open /nonexistent/x: No such file or directory" },
	{ "a file that is a directory", BASE "[pool]\npool_size = ${file:/tmp}\n",
	  "pgweir.ini:6: error: /tmp is a directory" },
	{ "a file that is a device", BASE "[pool]\npool_size = ${file:/dev/zero}\n",
	  "pgweir.ini:6: error: /dev/zero is not a regular file" },

	/* lines */
	{ "a line without =", BASE "[pool]\npool_size\n",
	  "pgweir.ini:6: error: this is not a setting; write name = value" },
	{ "a line whose = is in the comment", BASE "[pool]\npool_size ; = 5\n",
	  "pgweir.ini:6: error: this is not a setting; write name = value" },
	{ "a colon for the =", BASE "[pool]\npool_size: 5\n",
	  "pgweir.ini:6: error: this is not a setting; write name = value, with = instead of :" },
	{ "a colon before the =", BASE "[pool]\npool_size: 5 = 6\n",
	  "pgweir.ini:6: error: this is not a setting; write name = value, with = instead of :" },
	{ "no name", BASE "[pool]\n= 5\n", "pgweir.ini:6: error: the name before the = is missing" },
	{ "a setting before all sections", "pool_size = 5\n" BASE,
	  "pgweir.ini:1: error: \"pool_size\" stands before the first section; begin with a line [pgweir]" },
	{ "a control character", BASE "[pool]\npool_size = 5\x01\n",
	  "pgweir.ini:6: error: there is a control character (0x01) in this line" },
	{ "a terminal's escape", BASE "[pool]\n\x1b[31m = 5\n",
	  "pgweir.ini:6: error: there is a control character (0x1b) in this line" },
	{ "old Mac lines", BASE "[pool]\rpool_size = 5\n",
	  "pgweir.ini:5: error: there is a control character (0x0d) in this line" },

	/* sections */
	{ "a mistyped section", BASE "[pol]\npool_size = 5\n",
	  "pgweir.ini:5: error: unknown section [pol]; did you mean [pool]?" },
	{ "a mistyped database", BASE "[databse app]\nupstream = host=h\n",
	  "pgweir.ini:5: error: unknown section [databse app]; did you mean [database NAME]?" },
#ifdef WITH_PGBOUNCER_INI
	{ "PgBouncer's section", BASE "[pgbouncer]\nlisten_port = 6432\n",
	  "pgweir.ini:5: error: section [pgbouncer] is PgBouncer's name; here it is [pgweir], and [pool], [timeouts], "
	  "[auth], [log]" },
	{ "PgBouncer's databases", BASE "[databases]\napp = host=h\n",
	  "pgweir.ini:5: error: section [databases] is PgBouncer's; here each database has a section: [database app], "
	  "and in it upstream = ..." },
#endif
	{ "a section of nothing", BASE "[]\n", "pgweir.ini:5: error: unknown section []" },
	{ "a section without an end", BASE "[pool\n", "pgweir.ini:5: error: a section's name must end with ]" },
	{ "a section whose end is in a comment", BASE "[pool ; ]\n",
	  "pgweir.ini:5: error: unknown section [pool ;]; did you mean [pool]?" },
	{ "text after a section", BASE "[pool] pool_size = 5\n",
	  "pgweir.ini:5: error: there is text after the section's ]; write a setting on a line of its own" },
	{ "a comment without its blank after a section", BASE "[pool];x\n",
	  "pgweir.ini:5: error: there is text after the section's ]; write a setting on a line of its own" },
	{ "a section twice", BASE "[pool]\n[log]\n[pool]\n",
	  "pgweir.ini:7: error: [pool] has already begun on line 5; put its settings there" },
	{ "a database twice", TRUST "[database a]\nupstream = host=h\n[database b]\nupstream = host=h\n[database a]\n",
	  "pgweir.ini:7: error: [database a] has already begun on line 3" },
	{ "a user twice", BASE "[user a]\n[user a]\n", "pgweir.ini:6: error: [user a] has already begun on line 5" },
	{ "a database without a name", BASE "[database]\nupstream = host=h\n",
	  "pgweir.ini:5: error: [database] needs a name, for example [database app], or [database *] for all that are "
	  "not listed" },
	{ "a user without a name", BASE "[user ]\n",
	  "pgweir.ini:5: error: [user] needs a name, for example [user app]" },
	{ "a user of everyone", BASE "[user *]\n",
	  "pgweir.ini:5: error: [user *]: settings for all users belong in [pool], [timeouts] and so on" },
	{ "a name with blanks", BASE "[database my db]\nupstream = host=h\n",
	  "pgweir.ini:5: error: [database my db]: put quotes around a name with blanks, for example [database \"my "
	  "db\"]" },
	{ "a name of 64 bytes",
	  BASE "[database 1234567890123456789012345678901234567890123456789012345678901234]\n"
	       "upstream = host=h\n",
	  "pgweir.ini:5: error: [database 1234567890123456789012345678901234567890123456789012345678901234]: a name is "
	  "at most 63 bytes long, this has 64" },
	{ "a quote in a quoted name", BASE "[user \"a\"b\"]\n",
	  "pgweir.ini:5: error: [user \"a\"b\"]: a name in quotes is at most 63 bytes long, then the quote ends" },
	{ "a quote without an end", BASE "[user \"a]\n",
	  "pgweir.ini:5: error: [user \"a]: a name in quotes is at most 63 bytes long, then the quote ends" },
	{ "the console's name", BASE "[database pgbouncer]\nupstream = host=h\n",
	  "pgweir.ini:5: error: [database pgbouncer]: this name is reserved for the console" },
	{ "our console's name", BASE "[database pgweir]\nupstream = host=h\n",
	  "pgweir.ini:5: error: [database pgweir]: this name is reserved for the console" },
	{ "a database of nowhere", TRUST "[database a]\npool_size = 5\n",
	  "pgweir.ini:3: error: [database a] has no upstream; say where it is, for example upstream = host=127.0.0.1 "
	  "port=5432" },
	{ "no database at all", TRUST,
	  "pgweir.ini: error: there is no [database NAME] section; write [database *] and upstream = host=127.0.0.1 "
	  "port=5432" },
	{ "an upstream that can't be read", TRUST "[database a]\nupstream = host=a prot=5\n",
	  "pgweir.ini:4: error: upstream: \"prot\" is not known here. Did you mean \"port\"?" },
	{ "a tenant without a name", BASE "[tenant]\nupstream = host=a\n",
	  "pgweir.ini:5: error: [tenant] needs a name, for example [tenant app], or [tenant *] for all that are not "
	  "listed" },
	{ "a tenant that can't be", BASE "[tenant a.b]\nupstream = host=a\n",
	  "pgweir.ini:5: error: [tenant a.b]: the name of a tenant may only have letters, digits, _ and -" },
	{ "a tenant of nowhere", BASE "[pgweir]\ntenants = user\n[tenant a]\npool_size = 5\n",
	  "pgweir.ini:7: error: [tenant a] has no upstream; say where it is, for example upstream = host=127.0.0.1 "
	  "port=5432" },
	{ "a tenant twice",
	  BASE "[pgweir]\ntenants = user\n[tenant a]\nupstream = host=a\n[tenant a]\nupstream = host=b\n",
	  "pgweir.ini:9: error: [tenant a] has already begun on line 7" },
	{ "a user's setting for a tenant",
	  BASE "[pgweir]\ntenants = user\n[tenant a]\nupstream = host=h\nuser_login_rate = 1\n",
	  "pgweir.ini:9: error: \"user_login_rate\" belongs in [user NAME]" },
	{ "a template that clients could turn elsewhere",
	  BASE "[pgweir]\ntenants = user\n[tenant *]\nupstream = host=%{user}.x\n",
	  "pgweir.ini:8: error: upstream: %{user} cannot be in host: clients choose it freely" },
	{ "a template for a database", BASE "[database b]\nupstream = host=%{tenant}\n",
	  "pgweir.ini:6: error: upstream: \"%{tenant}\" is not the name of a host" },
	{ "tenants of nowhere", BASE "[pgweir]\ntenants = user\n",
	  "pgweir.ini:6: error: tenants is set, but there is no [tenant NAME] section; write [tenant *] and upstream = "
	  "host=%{tenant}.db.internal, or leave it empty" },
	{ "another way to name tenants", BASE "[pgweir]\ntenants = user, option\n[tenant *]\nupstream = host=h\n",
	  "pgweir.ini:6: error: tenants = option: must be a list of user, options and sni" },
	{ "a database called like a tenant's",
	  BASE "[pgweir]\ntenants = user\n[tenant *]\nupstream = host=h\n[database a/b]\nupstream = host=h\n",
	  "pgweir.ini:9: error: [database a/b]: while tenants is set, databases with a slash are those of tenants" },
	{ "an upstream for a user", BASE "[user a]\nupstream = host=a\n",
	  "pgweir.ini:6: error: \"upstream\" belongs in a [database NAME] section, not in [user a]" },
	{ "an upstream for all", BASE "[pool]\nupstream = host=a\n",
	  "pgweir.ini:6: error: \"upstream\" belongs in a [database NAME] section, not in [pool]" },
	{ "a setting of the process for a user", BASE "[user a]\nlogin_timeout = 5s\n",
	  "pgweir.ini:6: error: \"login_timeout\" belongs in [timeouts], not in [user a]" },
	{ "a setting that has another name for a user", BASE "[user a]\nthreshold = 5s\n",
	  "pgweir.ini:6: error: \"threshold\" is called \"slow_query_threshold\" in [user a]" },
	{ "and the other way round", BASE "[slow_query]\nslow_query_threshold = 5s\n",
	  "pgweir.ini:6: error: \"slow_query_threshold\" is for databases and users; for all of them it is "
	  "\"threshold\" in [slow_query]" },
	{ "a typing error for a user", BASE "[user a]\npol_size = 5\n",
	  "pgweir.ini:6: error: unknown setting \"pol_size\" in [user a]; did you mean \"pool_size\"?" },
	{ "a typing error in upstream", TRUST DATABASE "[database a]\nupstrem = host=h\nupstream = host=h\n",
	  "pgweir.ini:6: error: unknown setting \"upstrem\" in [database a]; did you mean \"upstream\"?" },

	/* what this version has not */
	{ "harmless code without a schema", TRUST DATABASE "harmless_code = language plperl, function price\n",
	  "pgweir.ini:5: error: harmless_code = language plperl, function price: write extension NAME, language NAME, "
	  "function "
	  "SCHEMA.NAME or schema NAME, separated by commas; put a name that contains anything but letters, digits, _ "
	  "and $ in double "
	  "quotes" },
	{ "auth_query without a parameter", BASE "auth_user = a\nauth_query = SELECT 1\n",
	  "pgweir.ini:6: error: auth_query = SELECT 1: use off, builtin, or SQL with $1 where the name of the user "
	  "belongs" },
	{ "auth_query with another parameter", BASE "auth_user = a\nauth_query = SELECT $10\n",
	  "pgweir.ini:6: error: auth_query = SELECT $10: use off, builtin, or SQL with $1 where the name of the user "
	  "belongs" },
	{ "auth_query of a database without a parameter", TRUST DATABASE "auth_user = a\nauth_query = on\n",
	  "pgweir.ini:6: error: auth_query = on: use off, builtin, or SQL with $1 where the name of the user belongs" },
	{ "auth_query by nobody", BASE "auth_query = builtin\n",
	  "pgweir.ini:5: error: auth_query needs an auth_user that runs it in database *; set it in [auth] or "
	  "[database *], and its secret in users_file" },
	{ "auth_query of a database by nobody", TRUST DATABASE "auth_query = SELECT f($1)\n",
	  "pgweir.ini:5: error: auth_query needs an auth_user that runs it in database *; set it in [auth] or "
	  "[database *], and its secret in users_file" },
	{ "auth_query of a tenant by nobody",
	  BASE "[pgweir]\ntenants = user\n[tenant a]\nupstream = host=h\nauth_query = builtin\n",
	  "pgweir.ini:9: error: auth_query needs an auth_user that runs it in tenant a; set it in [auth] or [tenant "
	  "a], and its secret in users_file" },
	{ "a budget by nobody", BASE "[limits]\nbudget = advise\n",
	  "pgweir.ini:2: error: budget needs a cluster_user for pgweir's own connection: set it in [limits] or "
	  "[database *], and its secret in users_file" },
	{ "a budget by whom the pools log in as", BASE "[database x]\nupstream = host=h user=u\nbudget = on\n",
	  "pgweir.ini:6: error: budget needs a cluster_user that nobody else logs in as, and the pools of [database x] "
	  "log in as \"u\": CREATE ROLE pgweir LOGIN PASSWORD '...' in PostgreSQL, cluster_user = pgweir in [limits], "
	  "and the same password in users_file" },
	{ "the same of another database there, which has no budget",
	  BASE "[database x]\nupstream = host=h user=u\nbudget = on\ncluster_user = w\n[database y]\nupstream = host=h "
	       "user=w\n[database z]\nupstream = host=i user=w\n",
	  "pgweir.ini:6: error: budget needs a cluster_user that nobody else logs in as, and the pools of [database y] "
	  "log in as \"w\": CREATE ROLE pgweir LOGIN PASSWORD '...' in PostgreSQL, cluster_user = pgweir in [limits], "
	  "and the same password in users_file" },
	{ "a budget of several hosts", BASE "[database x]\nupstream = host=h,i user=u\nbudget = on\ncluster_user = w\n",
	  "pgweir.ini:6: error: budget counts the connections on one host, but upstream has several: write "
	  "target_session_attrs=primary, or give each host a section of its own" },
	{ "a budget of any standby",
	  BASE "[database x]\nupstream = host=h,i user=u target_session_attrs=standby\nbudget = on\ncluster_user = w\n",
	  "pgweir.ini:6: error: budget counts the connections on one host, but upstream has several: write "
	  "target_session_attrs=primary, or give each host a section of its own" },
	{ "marked reads without a primary", BASE "[database x]\nupstream = host=h,i user=u\nreads = marked\n",
	  "pgweir.ini:6: error: reads = marked needs target_session_attrs=primary, which says where everything else "
	  "goes" },
	{ "marked reads of a user, of standbys alone",
	  BASE "[database x]\nupstream = host=h,i user=u target_session_attrs=standby\n[user r]\nreads = marked\n",
	  "pgweir.ini:6: error: reads = marked needs target_session_attrs=primary, which says where everything else "
	  "goes" },
	{ "reads by nobody",
	  BASE "[database x]\nupstream = host=h,i target_session_attrs=primary\nreads = prefer_standby\n",
	  "pgweir.ini:6: error: reads = prefer_standby needs a cluster_user for pgweir's own connections: set it in "
	  "[limits] or [database x], and its secret in users_file" },
	{ "a refused auth_user of a database", TRUST DATABASE "auth_query = builtin\nauth_user = ${PGWEIR_TEST_NONE}\n",
	  "pgweir.ini:6: error: ${PGWEIR_TEST_NONE} is not set in the environment" },
	{ "a log in a folder that is not there", BASE "[log]\ndestination = /nowhere/pgweir.log\n",
	  "pgweir.ini:6: error: destination = /nowhere/pgweir.log: /nowhere: No such file or directory" },
	{ "a log that is a folder", BASE "[log]\ndestination = /tmp\n",
	  "pgweir.ini:6: error: destination = /tmp is a directory" },
	{ "no exempt network", BASE "[limits]\nexempt_addresses = unix\n",
	  "pgweir.ini:6: error: exempt_addresses = unix: must be a list of networks, such as 10.0.0.0/8 or "
	  "2001:db8::/32" },
	{ "no peer", BASE "[pgweir]\npeer_id = 1\npeers = 2=10.0.0.2:6432, 10.0.0.3:6432\n",
	  "pgweir.ini:7: error: peers: a peer must be peer_id=host:port, for example 2=10.0.0.7:6432" },
	{ "no peer_id", BASE "[pgweir]\npeer_id = 1\npeers = 65536=h:1\n",
	  "pgweir.ini:7: error: peers: a peer_id must be a number from 1 to 65535" },
	{ "no port of a peer", BASE "[pgweir]\npeer_id = 1\npeers = 2=[::1]:0\n",
	  "pgweir.ini:7: error: peers: the port of a peer must be a number from 1 to 65535" },
	{ "two peers of one number", BASE "[pgweir]\npeer_id = 1\npeers = 2=a:1, 2=b:1\n",
	  "pgweir.ini:7: error: peers: there are two with the peer_id 2" },
	{ "no network", BASE "[pgweir]\nproxy_protocol = unix, 10.0.0.0/33\n",
	  "pgweir.ini:6: error: proxy_protocol = 10.0.0.0/33: must be a list of networks, such as 10.0.0.0/8 or "
	  "2001:db8::/32, and unix" },
	{ "auth_query for a user", BASE "[user u]\nauth_query = builtin\n",
	  "pgweir.ini:6: error: \"auth_query\" belongs in [database NAME]" },
	{ "TLS without a certificate", BASE "[tls_client]\nmode = require\n",
	  "pgweir.ini:6: error: mode = require needs certificate_file and key_file in [tls_client]" },
	{ "clients' certificates, and nobody who signs them",
	  BASE "[tls_client]\nmode = verify-ca\ncertificate_file = c\nkey_file = k\n",
	  "pgweir.ini:6: error: mode = verify-ca needs ca_file in [tls_client]: the authorities that sign the clients' "
	  "certificates" },
	{ "a certificate without a key", BASE "[tls_client]\ncertificate_file = /x\n",
	  "pgweir.ini:6: error: certificate_file and key_file must be set together" },
	{ "a key without a certificate", BASE "[tls_client]\nkey_file = /x\n",
	  "pgweir.ini:6: error: certificate_file and key_file must be set together" },
	{ "a list of certificates with a hole", BASE "[tls_client]\ncertificate_file = a,,b\nkey_file = /x\n",
	  "pgweir.ini:6: error: certificate_file = a,,b: a path in the list is empty" },
	{ "direct TLS that may be no TLS", TRUST "[database *]\nupstream = host=h sslnegotiation=direct\n",
	  "pgweir.ini:4: error: upstream: direct TLS needs a mode of require or better" },
	{ "everybody's authorities, and any name",
	  TRUST "[database *]\nupstream = host=h sslmode=require sslrootcert=system\n",
	  "pgweir.ini:4: error: upstream: sslrootcert=system needs sslmode=verify-full: anybody can get a certificate "
	  "from those authorities" },
	{ "a key for servers without a certificate", TRUST DATABASE "server_tls_key_file = /k\n",
	  "pgweir.ini:4: error: upstream: there is a key for PostgreSQL, but no certificate" },
	{ "a database's setting for a user", BASE "[user u]\nserver_tls_mode = off\n",
	  "pgweir.ini:6: error: \"server_tls_mode\" belongs in [database NAME]" },
	{ "a user's setting for a database", TRUST DATABASE "user_login_rate = 0\n",
	  "pgweir.ini:5: error: \"user_login_rate\" belongs in [user NAME]" },
	{ "a setting of ours that PgBouncer has, too, elsewhere", BASE "[pool]\napplication_name_add_host = on\n",
	  "pgweir.ini:6: error: \"application_name_add_host\" belongs in [pgweir], not in [pool]" },
	{ "a system user that is not there", BASE "[pgweir]\nrun_as = no_such_one\n",
	  "pgweir.ini:6: error: run_as = no_such_one: there is no such system user" },
	{ "histograms per user", BASE "[http]\nuser_histograms = on\n",
	  "pgweir.ini:6: error: user_histograms = on is not available in this version" },

	/* what a method needs */
	{ "certificates for login", DATABASE "[auth]\nmethod = cert\n",
	  "pgweir.ini:4: error: method = cert needs TLS: set certificate_file, key_file and ca_file in [tls_client]" },
	{ "hba", DATABASE "[auth]\nmethod = hba\n",
	  "pgweir.ini:4: error: method = hba needs hba_file, a file of rules as in PostgreSQL's pg_hba.conf" },

	/* the users_file */
	{ "scram without users", DATABASE "[auth]\nusers_file = /nonexistent/users.txt\n",
	  "pgweir.ini:4: error: users_file = /nonexistent/users.txt: No such file or directory; write it with lines of "
	  "\"name\" \"secret\"" },
	{ "md5 without users", DATABASE "[auth]\nmethod = md5\nusers_file = /nonexistent/users.txt\n",
	  "pgweir.ini:5: error: users_file = /nonexistent/users.txt: No such file or directory; write it with lines of "
	  "\"name\" \"secret\"" },
	{ "a folder for a file", DATABASE "[auth]\nusers_file = /tmp\n",
	  "pgweir.ini:4: error: users_file = /tmp: Is a directory; write it with lines of \"name\" \"secret\"" },
#if defined(WITH_LDAP) && defined(WITH_PAM) && defined(WITH_GSS)
	{ "what follows from a bad value is not told", DATABASE "[auth]\nmethod = trusted\nusers_file = /nonexistent\n",
	  "pgweir.ini:4: error: method = trusted: use scram-sha-256, md5, cert, trust, hba, password, ldap, pam or "
	  "gss. Did you mean trust?" },
#endif
	{ "nor for the file itself", DATABASE "[auth]\nusers_file = ${PGWEIR_TEST_NONE}\n",
	  "pgweir.ini:4: error: ${PGWEIR_TEST_NONE} is not set in the environment" },
	{ "none", DATABASE "[auth]\nusers_file =\n",
	  "pgweir.ini:4: error: users_file is empty, but clients cannot log in without secrets" },
};

Test(config, what_is_refused_and_why)
{
	setenv("PGWEIR_TEST_SECRET", "hunter2", 1);
	unsetenv("PGWEIR_TEST_NONE");
	EACH(row, bad) {
		struct config_problems problems = { 0 };
		struct config *config = load(row->text, &problems);

		cr_expect_null(config, "%s", row->rule);
		cr_expect_str_eq(problem_text(&problems, 0), row->problem, "%s: got %s", row->rule,
				 problem_text(&problems, 0));
		/* A second value of a setting whose first was bad is one more. */
		cr_expect_eq(problems.error_count, strstr(row->rule, "the first value") ? 2 : 1, "%s: then %s",
			     row->rule, problem_text(&problems, 1));
		config_problems_fini(&problems);
		config_unref(config);
	}
}

static const struct {
	const char *rule, *text, *problem;
} warned[] = {
	{ "metrics for everyone", BASE "[http]\nlisten = 0.0.0.0:9930\n",
	  "pgweir.ini:6: warning: listen = 0.0.0.0:9930: the metrics, with the names of databases and users, are open "
	  "to whoever reaches this address; pages with SQL are closed there unless auth_file names who may see them" },
	{ "metrics for everyone, the rest for some", BASE "[http]\nlisten = 0.0.0.0:9930\nauth_file = /x/pages.txt\n",
	  "pgweir.ini:6: warning: listen = 0.0.0.0:9930: the metrics, with the names of databases and users, are open "
	  "to whoever reaches this address; pages with SQL are for those in auth_file, whose passwords travel in the "
	  "clear" },
	{ "more idle than there can be", BASE "[pool]\nmin_idle = 30\n",
	  "pgweir.ini:6: warning: min_idle = 30 is more than pool_size = 20; no more than pool_size are kept" },
	{ "statements passed through to servers of others", BASE "[pool]\nprepared_statements = 0\n",
	  "pgweir.ini:6: warning: prepared_statements = 0: unless pool_mode = session, clients may run each other's "
	  "prepared statements" },
	{ "a comment that is none", BASE "auth_user = \"a\"\nauth_query = SELECT $1 # who\n",
	  "pgweir.ini:6: warning: auth_query: the # and what follows are part of the value; a comment there begins "
	  "with a "
	  "semicolon. If they are meant, put quotes around the value" },
	{ "a cap above another", BASE "[limits]\nmax_user_client_connections = 2000\n",
	  "pgweir.ini:6: warning: max_user_client_connections = 2000 is never reached: max_client_connections = 1000 "
	  "is below it" },
	{ "fewer servers than one pool may have", BASE "[pgweir]\nmax_server_connections = 29\n",
	  "pgweir.ini:6: warning: max_server_connections = 29 is below pool_size + max_overflow = 30: no pool can grow "
	  "to its size" },
	{ "the same beside the other limits", BASE "[limits]\nmax_server_connections = 29\n",
	  "pgweir.ini:6: warning: max_server_connections = 29 is below pool_size + max_overflow = 30: no pool can grow "
	  "to its size" },
	{ "a timeout behind another", BASE "[timeouts]\nquery_timeout = 2s\ntransaction_timeout = 1s\n",
	  "pgweir.ini:7: warning: query_timeout is never reached: transaction_timeout is below it" },
	{ "more idle than there can be for a user", BASE "[user a]\nmin_idle = 3\npool_size = 2\n",
	  "pgweir.ini:6: warning: min_idle = 3 is more than pool_size = 2; no more than pool_size are kept" },
	{ "more idle than there can be for a database", TRUST DATABASE "min_idle = 21\n",
	  "pgweir.ini:5: warning: min_idle = 21 is more than pool_size = 20; no more than pool_size are kept" },
	{ "max_pipeline with session mode", TRUST DATABASE "pool_mode = session\nmax_pipeline = 2\n",
	  "pgweir.ini:6: warning: max_pipeline has no effect with pool_mode = session" },
	{ "max_pipeline with session_state = allow", TRUST DATABASE "session_state = allow\nmax_pipeline = 2\n",
	  "pgweir.ini:6: warning: max_pipeline has no effect with session_state = allow" },
	{ "max_pipeline with session_state = isolate", TRUST DATABASE "session_state = isolate\nmax_pipeline = 2\n",
	  "pgweir.ini:6: warning: max_pipeline has no effect with session_state = isolate" },
	{ "max_pipeline with commit_check", TRUST DATABASE "commit_check = on\nmax_pipeline = 2\n",
	  "pgweir.ini:6: warning: max_pipeline has no effect with commit_check = on" },
	{ "max_pipeline with refuse", TRUST DATABASE "refuse = ddl\nmax_pipeline = 2\n",
	  "pgweir.ini:6: warning: max_pipeline has no effect with refuse" },
	{ "a file of rules nobody reads", BASE "hba_file = /x\n",
	  "pgweir.ini:5: warning: hba_file has no effect without method = hba" },
	{ "a user of a query nobody runs", BASE "auth_user = a\n",
	  "pgweir.ini:5: warning: auth_user has no effect without auth_query" },
	{ "samples of what is logged anyway", BASE "[slow_query]\nsample_threshold = 1s\n",
	  "pgweir.ini:6: warning: sample_threshold has no effect unless it is below threshold" },
	{ "tenants that nobody can name", BASE "[tenant a]\nupstream = host=h\n",
	  "pgweir.ini:5: warning: [tenant a] has no effect without tenants = user, options or sni in [pgweir]" },
	{ "peers of nobody", BASE "[pgweir]\npeers = 2=10.0.0.2:6432\n",
	  "pgweir.ini:6: warning: peers have no effect without a peer_id of this process" },
	{ "a proxy that can be anybody", BASE "[pgweir]\nproxy_protocol = 10.0.0.0/8, 0.0.0.0/0\n",
	  "pgweir.ini:6: warning: proxy_protocol = 0.0.0.0/0: whoever reaches pgweir may claim to be any client" },
	{ "a domain for no tenant", BASE "[pgweir]\ntenant_domain = x\n",
	  "pgweir.ini:6: warning: tenant_domain has no effect without sni in tenants" },
	{ "a server name that nobody can send", BASE "[pgweir]\ntenants = sni\n[tenant *]\nupstream = host=h\n",
	  "pgweir.ini:6: warning: sni has no effect without certificate_file in [tls_client]" },
	{ "a budget that idle connections exceed",
	  BASE "[limits]\nbudget = on\nbudget_connections = 9\ncluster_user = w\n[database x]\nupstream = host=h\n"
	       "min_idle = 6\n[database y]\nupstream = host=h\nmin_idle = 4\n[database z]\nupstream = host=i\n"
	       "min_idle = 9\n",
	  "pgweir.ini:10: warning: budget_connections = 9 is below the sum of min_idle of all databases there: not all "
	  "of these are kept" },
	{ "reads on standbys of one host", BASE "[database x]\nupstream = host=h user=u\nreads = marked\n",
	  "pgweir.ini:6: warning: reads = marked has no effect with one host: name the standbys in upstream, too" },
	{ "the database's reads, not those of a user, who may want them elsewhere",
	  BASE "[database x]\nupstream = host=h user=u\nreads = prefer_standby\n[user r]\nreads = marked\n",
	  "pgweir.ini:6: warning: reads = prefer_standby has no effect with one host: name the standbys in upstream, "
	  "too" },
	{ "a tenant's reads, not those of a user, who may want them elsewhere",
	  BASE "[pgweir]\ntenants = user\n[tenant *]\nupstream = host=%{tenant}-a,%{tenant}-b user=u "
	       "target_session_attrs=primary\nreads = prefer_standby\n[user r]\nreads = marked\n",
	  "pgweir.ini:8: warning: reads = prefer_standby has no effect where hosts depend on the tenant" },
	{ "a zone that no host is in", BASE "[pgweir]\nzone = eu\n[database x]\nupstream = host=h,i zones=us,europe\n",
	  "pgweir.ini:6: warning: zone = eu has no effect: no upstream has a host there; zones= in upstream names the "
	  "zone of each host" },
	{ "reads on standbys, else anywhere", BASE "[database x]\nupstream = host=h,i user=u\nreads = prefer_standby\n",
	  "pgweir.ini:6: warning: reads = prefer_standby needs target_session_attrs=primary, which says where "
	  "everything else goes" },
	{ "a user's reads by nobody, as another database may have the hosts, too",
	  BASE "[database x]\nupstream = host=h,i target_session_attrs=primary\n[user r]\nreads = marked\n",
	  "pgweir.ini:6: warning: reads = marked needs a cluster_user for pgweir's own connections: set it in [limits] "
	  "or [database x], and its secret in users_file" },
	{ "reads on a tenant's standbys",
	  BASE "[pgweir]\ntenants = user\n[tenant *]\nupstream = host=%{tenant}-a,%{tenant}-b user=u "
	       "target_session_attrs=primary\nreads = marked\n",
	  "pgweir.ini:8: warning: reads = marked has no effect where hosts depend on the tenant" },
	{ "a budget by whom the pools log in as, advised",
	  BASE "[database x]\nupstream = host=h user=u\nbudget = advise\n",
	  "pgweir.ini:6: warning: budget needs a cluster_user that nobody else logs in as, and the pools of [database "
	  "x] log in as \"u\": CREATE ROLE pgweir LOGIN PASSWORD '...' in PostgreSQL, cluster_user = pgweir in "
	  "[limits], and the same password in users_file" },
	{ "a budget of several hosts, advised",
	  BASE "[database x]\nupstream = host=h,i user=u\nbudget = advise\ncluster_user = w\n",
	  "pgweir.ini:6: warning: budget counts the connections on one host, but upstream has several: write "
	  "target_session_attrs=primary, or give each host a section of its own" },
	{ "users nobody needs, but named", BASE "users_file = /nonexistent/x\n",
	  "pgweir.ini:5: warning: users_file = /nonexistent/x: No such file or directory" },
};

Test(config, what_is_warned_of)
{
	EACH(row, warned) {
		struct config_problems problems = { 0 };
		struct config *config = load(row->text, &problems);

		cr_expect_not_null(config, "%s", row->rule);
		cr_expect_eq(problems.error_count, 0, "%s", row->rule);
		cr_expect_eq(problems.count, 1, "%s", row->rule);
		cr_expect_str_eq(problem_text(&problems, 0), row->problem, "%s: got %s", row->rule,
				 problem_text(&problems, 0));
		config_problems_fini(&problems);
		config_unref(config);
	}
}

Test(config, a_budget_where_it_fits)
{
	static const char *const texts[] = {
		BASE "[database x]\nupstream = host=h user=u\nbudget = on\ncluster_user = w\n[database z]\nupstream = "
		     "host=i user=w\n",
		BASE "auth_user = a\n[limits]\nbudget = on\n",
		BASE
		"[database x]\nupstream = host=h,i user=u target_session_attrs=primary\nbudget = on\ncluster_user = w\n"
		"budget_connections = 10\nmin_idle = 10\n",
		BASE "[database x]\nupstream = host=h,i user=u target_session_attrs=read-write "
		     "load_balance_hosts=round-robin\nbudget = on\ncluster_user = w\n",
	};

	EACH(text, texts)
		config_unref(load_good(*text));
}

Test(config, auth_query_where_it_fits)
{
	static const char *const texts[] = {
		BASE "auth_user = a\nauth_query = builtin\n",
		BASE "auth_user = a\nauth_query = SELECT usename, passwd FROM pgbouncer.get_auth($1)\n",
		"[auth]\nusers_file =\nauth_user = a\nauth_query = builtin\n" DATABASE,
		BASE "auth_user = a\n[database a]\nupstream = host=h\nauth_query = SELECT f($1)\n",
		BASE "auth_query = builtin\nauth_user = a\nauth_database = b\n[database a]\nupstream = "
		     "host=h\nauth_query = off\nauth_user =\n",
	};

	EACH(text, texts)
		config_unref(load_good(*text));
}

Test(config, harmless_code_is_read_as_sql_reads_names)
{
	static const struct {
		const char *text, *rows; /* NULL: refused */
	} rows[] = {
		{ "extension ip4r", "('extension', '69703472', '')" },
		{ "  language  PLPython3U , schema a$1,function A.\"B\"",
		  "('language', '706c707974686f6e3375', ''), ('schema', '612431', ''), ('function', '61', '42')" },
		{ "extension \"uuid-ossp\"", "('extension', '757569642d6f737370', '')" },
		{ "schema \"a, \"\"b\\'.\"", "('schema', '612c2022625c272e', '')" },
		{ "schema \"\"\"\"", "('schema', '22', '')" },
		{ "schema \xc3\xa4", "('schema', 'c3a4', '')" },
		{ "function \"a.b\".c_d", "('function', '612e62', '635f64')" },
		{ "", NULL },
		{ "extension", NULL },
		{ "extension ip4r,", NULL },
		{ "extension ip4r, ", NULL },
		{ ", extension ip4r", NULL },
		{ "extension uuid-ossp", NULL },
		{ "extension a b", NULL },
		{ "extension a.b", NULL },
		{ "schema \"a", NULL },
		{ "schema \"a\"\"", NULL },
		{ "schema \"\"", NULL },
		{ "schema \"a\"b", NULL },
		{ "function a", NULL },
		{ "function a.b.c", NULL },
		{ "function a.", NULL },
		{ "function .a", NULL },
		{ "function a(int)", NULL },
		{ "table a", NULL },
		{ "languages a", NULL },
		{ "extensionextensionextension a", NULL },
		{ "schema a123456789b123456789c123456789d123456789e123456789f123456789gh1234", NULL },
	};

	EACH(row, rows) {
		struct buf b = { 0 };
		struct fail why = { 0 };
		int rc = value_read_harmless_code(row->text, &b, &why);

		cr_expect_eq(rc, row->rows == NULL ? -1 : 0, "%s", row->text);
		if (rc == 0 && row->rows != NULL)
			cr_expect_str_eq(value_put_end(&b), row->rows);
		buf_fini(&b);
	}
}

Test(config, where_a_password_stands)
{
	static const struct {
		const char *upstream;
		bool is_written;
		const char *file; /* of its folder; NULL: none */
	} rows[] = {
		{ "host=h password=hunter2", true, NULL },
		{ "host=h password='it''s'", true, NULL },
		{ "postgres://u:hunt%65r2@h/db", true, NULL },
		{ "host=h user=u", false, NULL },
		{ "host=h password=1", true, NULL },
		{ "host=h password=${PGWEIR_TEST_SECRET}", false, NULL },
		{ "postgres://u:${PGWEIR_TEST_SECRET}@h:${PGWEIR_TEST_PORT}/db", false, NULL },
		{ "host=${PGWEIR_TEST_SECRET} password=hunter2", true, NULL },
		{ "host=h password=half-${PGWEIR_TEST_SECRET}", true, NULL },
		{ "host=h password=${PGWEIR_TEST_NONE:-hunter2}", true, NULL },
		{ "host=h password=a$$b", true, NULL },
		{ "host=h password=${file:%s/users.txt}", false, "users.txt" },
		{ "host=h password=half-${file:%s/users.txt}", true, "users.txt" },
		{ "host=h dbname=${file:%s/users.txt} password=${PGWEIR_TEST_SECRET}", false, NULL },
		{ "\"host=h password=hunter2\"", true, NULL },
		{ "\"host=h password=${PGWEIR_TEST_SECRET}\"", false, NULL },
		{ "\"host=${PGWEIR_TEST_SECRET} password=hunter2\"", true, NULL },
		{ "'host=h password=${file:%s/users.txt}'", false, "users.txt" },
	};

	setenv("PGWEIR_TEST_SECRET", "hunter2", 1);
	setenv("PGWEIR_TEST_PORT", "6000", 1);
	put_file(files.users, "word\n", 5, 0640);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config_problems problems = { 0 };
		char text[1024], path[300], upstream[300];
		const char *gap = strstr(rows[i].upstream, "%s");
		struct config *c;

		if (gap == NULL)
			snprintf(upstream, sizeof(upstream), "%s", rows[i].upstream);
		else
			snprintf(upstream, sizeof(upstream), "%.*s%s%s", (int)(gap - rows[i].upstream),
				 rows[i].upstream, files.folder, gap + 2);
		snprintf(text, sizeof(text), TRUST "[database a]\nupstream = %s\n[database b]\nupstream = %s\n",
			 upstream, upstream);
		c = load(text, &problems);
		cr_assert_not_null(c, "row %zu: %s", i, problem_text(&problems, 0));
		cr_expect_eq(c->has_password, rows[i].is_written, "row %zu", i);
		cr_expect_eq(c->secret_file_count, rows[i].file != NULL, "row %zu", i);
		if (rows[i].file != NULL && c->secret_file_count == 1) {
			snprintf(path, sizeof(path), "%s/%s", files.folder, rows[i].file);
			cr_expect_str_eq(c->secret_files[0], path);
		}
		config_problems_fini(&problems);
		config_unref(c);
	}
}

Test(config, all_problems_of_a_file_come_in_one_run_in_order_of_line)
{
	static const char text[] = "[pgweir]\nlisten = 0.0.0.0:6432\npool_mod = session\n[pool]\npool_timeout = 30\n"
				   "pool_sise = 5\npool_size = 1\npool_size = 2\n[auth]\nmethod = trust\n"
				   "[database app]\npool_size = 0\n[nonsense]\nx = y\n[http]\nlisten = *:1\n";
	static const char *const wants[] = { "pgweir.ini:2: error: listen = 0.0.0.0:6432: with method = trust",
					     "pgweir.ini:3: error: unknown setting \"pool_mod\"",
					     "pgweir.ini:5: error: pool_timeout = 30: a time needs",
					     "pgweir.ini:6: error: unknown setting \"pool_sise\"",
					     "pgweir.ini:8: error: \"pool_size\" was already set",
					     "pgweir.ini:11: error: [database app] has no upstream",
					     "pgweir.ini:12: error: pool_size = 0: must be a whole number",
					     "pgweir.ini:13: error: unknown section [nonsense]",
					     "pgweir.ini:16: warning: listen = *:1: the metrics" };
	struct config_problems problems = { 0 };

	cr_expect_null(load(text, &problems));
	cr_assert_eq(problems.count, COUNT(wants));
	cr_expect_eq(problems.error_count, 8);
	for (size_t i = 0; i < problems.count; i++) {
		const char *got = problem_text(&problems, i);

		cr_expect_eq(strncmp(got, wants[i], strlen(wants[i])), 0, "want %s, got %s", wants[i], got);
	}
	config_problems_fini(&problems);
}

Test(config, a_file_of_garbage_has_an_end_to_its_problems)
{
	size_t len = 1 << 20;
	char *text = malloc(len);
	struct config_problems problems = { 0 };

	for (size_t i = 0; i < len; i++)
		text[i] = i % 4 == 3 ? '\n' : "[x="[i % 3];
	cr_expect_null(load_bytes(text, len, &problems));
	cr_expect_gt(problems.error_count, 100000);
	cr_expect_eq(problems.count, 1001);
	cr_expect_not_null(strstr(problems.list[1000].text, "too many problems"));
	config_problems_fini(&problems);
	free(text);
}

/* --- the reader ------------------------------------------------------------------------------------------------- */

static void
check_pool_size(const char *text, size_t len, uint32_t want, const char *rule)
{
	struct config_problems problems = { 0 };
	struct config *config = load_bytes(text, len, &problems);

	cr_assert_not_null(config, "%s: %s", rule, problem_text(&problems, 0));
	cr_expect_eq(config->defaults.pool_size, want, "%s", rule);
	config_unref(config);
	config_problems_fini(&problems);
}

Test(config, lines_may_look_like_this)
{
	static const struct {
		const char *rule, *text;
	} rows[] = {
		{ "without blanks", BASE "[pool]\npool_size=7\n" },
		{ "with many", BASE "[pool]\n  pool_size \t=   7  \t \n" },
		{ "without a last newline", BASE "[pool]\npool_size = 7" },
		{ "CR LF at the ends", BASE "[pool]\r\npool_size = 7\r\n" },
		{ "a comment behind", BASE "[pool]\npool_size = 7 ; not 8\n" },
		{ "a comment behind a tab", BASE "[pool]\npool_size = 7\t; not 8\n" },
		{ "a comment behind the section", BASE "[pool]   ; sizes [here]\npool_size = 7\n" },
		{ "blanks in the section", BASE "[ pool ]\npool_size = 7\n" },
		{ "comments and empty lines between",
		  BASE "; one\n# two\n\n  ; three\n[pool]\n\t# four\n\npool_size = 7\n" },
		{ "indented after another setting", BASE "[pool]\nmax_overflow = 1\n  pool_size = 7\n" },
	};

	EACH(row, rows)
		check_pool_size(row->text, strlen(row->text), 7, row->rule);
}

Test(config, a_line_may_be_long)
{
	enum { LONG = 300000 };
	char *text = malloc(LONG + 1024), *digits = malloc(LONG + 1);
	struct config_problems problems = { 0 };

	memset(digits, '0', LONG);
	digits[LONG] = '\0';
	snprintf(text, LONG, BASE "[pool]\npool_size = %.185s7\r\n", digits);
	check_pool_size(text, strlen(text), 7, "198 bytes and CR LF");
	snprintf(text, LONG, BASE "[pool]\n; %.240s\npool_size = 7\n", digits);
	check_pool_size(text, strlen(text), 7, "a long comment");
#ifdef HAVE_INI_MAX_LINE
	for (int len = 186; len <= LONG; len = len < 500 ? len + 1 : len * 5) {
		snprintf(text, LONG + 1024, BASE "[pool]\npool_size = %.*s7\nmax_overflow = 3\n", len, digits);
		check_pool_size(text, strlen(text), 7, "a long value");
		snprintf(text, LONG + 1024, BASE "[pool]\npool_size = %.*s7", len, digits);
		check_pool_size(text, strlen(text), 7, "a long value at the end");
	}
#else
	snprintf(text, LONG, BASE "[pool]\npool_size = %.218s7\n", digits);
	cr_expect_null(load(text, &problems));
	cr_expect_str_eq(problem_text(&problems, 0), "pgweir.ini:6: error: line is 231 bytes long, the limit is 198: "
						     "move the value to a file and use ${file:…}");
	config_problems_fini(&problems);
#endif
	snprintf(text, LONG, BASE "[%.199s]\n", digits);
	cr_expect_null(load(text, &problems));
	cr_expect_str_eq(problem_text(&problems, 0),
			 "pgweir.ini:5: error: a section's name must have at most 198 bytes");
	config_problems_fini(&problems);
	free(text);
	free(digits);
}

Test(config, quotes_around_a_value_are_taken_off)
{
	static const char *const rows[][2] = {
		{ "\"SELECT $1\"", "SELECT $1" },
		{ "'SELECT $1'", "SELECT $1" },
		{ "'SELECT \"a b\", $1'", "SELECT \"a b\", $1" },
		{ "\"a\", $1, \"b\"", "\"a\", $1, \"b\"" },
		{ "'\"$1\"'", "\"$1\"" },
		{ "\"$1", "\"$1" },
		{ "'SELECT $1 # not a comment'", "SELECT $1 # not a comment" },
	};
	char text[512];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config *c;

		snprintf(text, sizeof(text), BASE "auth_user = \"a\"\nauth_query = %s\n", rows[i][0]);
		c = load_good(text);
		cr_expect_str_eq(c->defaults.auth_query, rows[i][1]);
		cr_expect_str_eq(c->defaults.auth_user, "a");
		config_unref(c);
	}
}

Test(config, values_as_people_write_them)
{
	struct config *c;

	c = load_good("[log]\nconnections = YES\n[pool]\npool_lifo = 0\npool_pre_ping = false # a comment\n"
		      "max_statement_size = 2MB\nprepared_statements_memory = \"64 kB\"\n"
		      "pool_timeout = 5m # five\npool_size = 7\t# seven\n[pgweir]\nlisten = 127.0.0.1:7001 # here\n"
		      "[http]\nlisten = [::1]:7002 # there\n" BASE);
	cr_expect_str_eq(c->listens[0].text, "127.0.0.1:7001");
	cr_expect_eq(c->http_listen.port, 7002);
	cr_expect(c->log_connections);
	cr_expect(!c->defaults.pool_lifo);
	cr_expect(!c->defaults.pool_pre_ping);
	cr_expect_eq(c->defaults.max_statement_size, 2 << 20);
	cr_expect_eq(c->prepared_statements_memory, 64 << 10);
	cr_expect_eq(c->defaults.pool_timeout_us, 300000000);
	cr_expect_eq(c->defaults.pool_size, 7);
	config_unref(c);
}

Test(config, files_of_odd_kinds)
{
	static const struct {
		const char *rule, *bytes;
		size_t len;
		const char *problem;
	} rows[] = {
		{ "a byte-order mark", "\xef\xbb\xbf" BASE, sizeof("\xef\xbb\xbf" BASE) - 1,
		  "pgweir.ini:1: error: the file begins with a byte-order mark (BOM); save it as UTF-8 without one" },
		{ "UTF-16", "\xff\xfe[\0p\0", 6, "pgweir.ini:1: error: the file is UTF-16; save it as UTF-8" },
		{ "a zero byte", BASE "[pool]\npool_size = 7\0 8\n", sizeof(BASE "[pool]\npool_size = 7\0 8\n") - 1,
		  "pgweir.ini:6: error: there is a zero byte in this line" },
		{ "a zero byte in a comment", BASE "; \0\n", sizeof(BASE "; \0\n") - 1,
		  "pgweir.ini:5: error: there is a zero byte in this line" },
		{ "empty", "", 0,
		  "pgweir.ini: error: there is no [database NAME] section; write [database *] and upstream = "
		  "host=127.0.0.1 port=5432" },
	};

	EACH(row, rows) {
		struct config_problems problems = { 0 };

		cr_expect_null(load_bytes(row->bytes, row->len, &problems), "%s", row->rule);
		bool is_found = false;
		for (size_t j = 0; j < problems.count; j++)
			is_found |= strcmp(problem_text(&problems, j), row->problem) == 0;
		cr_expect(is_found, "%s: got %s", row->rule, problem_text(&problems, 0));
		config_problems_fini(&problems);
	}
}

Test(config, files_that_cannot_be_read)
{
	struct config_problems problems = { 0 };
	char *large = malloc((1 << 20) + 1);

	cr_expect_null(load_config("/nonexistent/pgweir.ini", NULL, 0, &problems));
	cr_expect_str_eq(
	    problems.list[0].text,
	    "/nonexistent/pgweir.ini: error: could not open /nonexistent/pgweir.ini: No such file or directory");
	cr_expect_null(load_config("/tmp", NULL, 0, &problems));
	cr_expect_str_eq(problems.list[1].text, "/tmp: error: /tmp is a directory");
	cr_expect_null(load_config("/dev/zero", NULL, 0, &problems));
	cr_expect_str_eq(problems.list[2].text, "/dev/zero: error: /dev/zero is not a regular file");
	config_problems_fini(&problems);

	memset(large, '\n', (1 << 20) + 1);
	memcpy(large, BASE, strlen(BASE));
	config_unref(load_bytes(large, 1 << 20, &problems));
	cr_expect_eq(problems.count, 0, "1 MiB is fine");
	cr_expect_null(load_bytes(large, (1 << 20) + 1, &problems));
	cr_assert_eq(problems.count, 1);
	cr_expect_not_null(strstr(problems.list[0].text, "is larger than 1 MiB"));
	config_problems_fini(&problems);

	chmod(files.ini, 0);
	if (geteuid() != 0) { /* root reads anything */
		cr_expect_null(load_config(files.ini, NULL, 0, &problems));
		cr_expect_not_null(strstr(problems.list[0].text, "Permission denied"));
		config_problems_fini(&problems);
	}
	free(large);
}

/* --- what is read ----------------------------------------------------------------------------------------------- */

/* Each setting with a value of its own, so that none can be taken for another. */
static const char everything[] =
    "[pgweir]\nlisten = *:7001\nlisten = [::1]:7002\nlisten = unix:/run/x/.s.PGSQL.7003\nlisten = localhost:7004\n"
    "pool_mode = session\nsession_state = allow\nbegin = sent\nrefuse = "
    "update_without_where\nmax_client_connections = 11\nmax_server_connections = 112\n"
    "listen_backlog = 13\nworkers = auto\npid_file = /run/pid\n"
    "[pool]\npool_size = 21\nmax_overflow = 22\noverflow_delay = 22s\noverflow_linger = 23s\npool_timeout = "
    "24s\npool_recycle = 25s\n"
    "pool_pre_ping = off\npool_pre_ping_idle = 26s\nping_interval = 27s\npool_lifo = off\nmin_idle = 20\n"
    "server_fast_close = on\n"
    "idle_timeout = 28s\nprepared_statements = 29\nmax_statement_size = 30KiB\nprepared_statements_memory = 45MiB\n"
    "prepared_statements_cache = 49MiB\n"
    "statement_ignore_comments = off\npool_idle_timeout = 47s\nwait_notify = 46s\non_outage = hold\noutage_hold = "
    "120s\n"
    "[timeouts]\nconnect_timeout = 31ms\nlogin_timeout = 32ms\nquery_timeout = 33us\ntransaction_timeout = 34min\n"
    "idle_transaction_timeout = 35h\nclient_idle_timeout = 36d\nshutdown_timeout = 37s\nshutdown_delay = "
    "38s\nrestart_timeout = 39s\n"
    "[auth]\nmethod = md5\nusers_file = users.txt\nhba_file =\nident_file =\nauth_query = off\nauth_user =\n"
    "auth_database =\ngss_accept_delegation = off\nadmin_users = root, \"a,b\" ,c\nstats_users = monitor\n"
    "[tls_client]\nmode = off\ncertificate_file =\nkey_file =\nca_file = ca.pem\nmin_version = 1.3\n"
    "[tls_server]\nmode = off\nca_file = /ca\ncertificate_file =\nkey_file =\nmin_version = 1.3\nnegotiation = "
    "postgres\n"
    "[log]\ndestination = /log\nformat = json\nlevel = debug\nconnections = on\n"
    "long_transaction = 46s\nidle_transaction = 47s\n"
    "[slow_query]\nthreshold = 41ms\ntext = none\nparameters = on\n"
    "sample_threshold = 40ms\nsample_rate = 0.125\nquery_stats = on\ntable_size = 43\n"
    "[limits]\nmax_db_connections = 47\nmax_user_connections = 48\n"
    "[http]\nlisten = [::1]:7005\nauth_file =\nmetrics_max_pools = 44\nuser_histograms = off\n"
    "[database app]\nupstream = host=db1 user=web password=hunter2\npool_mode = statement\nsession_state = "
    "track\nbegin = sent\nrefuse = multi_statement ,ddl\n"
    "pool_size = 51\nmax_overflow = 52\noverflow_delay = 52s\noverflow_linger = 53s\npool_timeout = 54s\npool_recycle "
    "= 55s\n"
    "pool_pre_ping = on\npool_pre_ping_idle = 56s\nping_interval = 57s\npool_lifo = on\nmin_idle = 50\n"
    "idle_timeout = 58s\nprepared_statements = 59\nmax_statement_size = 60MiB\nconnect_timeout = 61ms\n"
    "statement_ignore_comments = on\non_outage = fail\noutage_hold = 150s\n"
    "query_timeout = 62ms\ntransaction_timeout = 63ms\nidle_transaction_timeout = 64ms\nclient_idle_timeout = 65ms\n"
    "slow_query_threshold = off\nmax_db_connections = 66\n"
    "[database \"my db\"]\nupstream = postgres://u@db2:7/x\n"
    "[database *]\nupstream = host=/run/pg\n"
    "[user web]\npool_mode = transaction\nrefuse =\nquery_timeout = 0s\nmax_user_connections = 67\n"
    "[user \"say \"\"hi\"\"\"]\npool_size = 1\n";

#define S UINT64_C(1000000)

Test(config, an_address_that_is_listed_twice_is_one)
{
	struct config *c =
	    load_good(BASE "[pgweir]\nlisten = 127.0.0.1:1\nlisten = localhost:1\nlisten = 127.0.0.1:2\n");

	cr_assert_eq(c->listen_count, 2);
	cr_expect_str_eq(c->listens[0].text, "127.0.0.1:1");
	cr_expect_str_eq(c->listens[1].text, "127.0.0.1:2");
	config_unref(c);
}

Test(config, every_setting_arrives_in_its_field)
{
	struct config *c;
	char path[128];

	c = load_good(everything);
	cr_assert_eq(c->listen_count, 4);
	cr_expect_str_eq(c->listens[0].text, "*:7001");
	cr_expect_str_eq(c->listens[0].host, "0.0.0.0");
	cr_expect_eq(c->listens[0].port, 7001);
	cr_expect_str_eq(c->listens[1].host, "::1");
	cr_expect_eq(c->listens[1].port, 7002);
	cr_expect_str_eq(c->listens[2].host, "/run/x/.s.PGSQL.7003");
	cr_expect(config_listen_is_unix(&c->listens[2]) && !config_listen_is_unix(&c->listens[1]));
	cr_expect_eq(c->listens[2].port, 0);
	cr_expect_str_eq(c->listens[3].host, "127.0.0.1");
	cr_expect_eq(c->max_client_connections, 11);
	cr_expect_eq(c->max_server_connections, 112);
	cr_expect_eq(c->workers, CONFIG_COUNT_AUTO);
	cr_expect_eq(c->listen_backlog, 13);
	cr_expect_str_eq(c->pid_file, "/run/pid");
	cr_expect_eq(c->login_timeout_us, 32000);
	cr_expect_eq(c->shutdown_timeout_us, 37 * S);
	cr_expect_eq(c->shutdown_delay_us, 38 * S);
	cr_expect_eq(c->restart_timeout_us, 39 * S);
	cr_expect_eq(c->auth_method, AUTH_MD5);
	cr_expect_str_eq(c->users_file, files.users, "a relative path begins in the folder of the file");
	cr_expect_str_eq(c->hba_file, "");
	cr_expect_str_eq(c->ident_file, "");
	cr_expect_str_eq(c->defaults.auth_query, "off");
	cr_expect_str_eq(c->defaults.auth_user, "");
	cr_expect_str_eq(c->defaults.auth_database, "");
	cr_expect_eq(c->defaults.delegation, DELEGATION_OFF);
	cr_expect_str_eq(c->admin_users[0], "root");
	cr_expect_str_eq(c->admin_users[1], "a,b");
	cr_expect_str_eq(c->admin_users[2], "c");
	cr_expect_null(c->admin_users[3]);
	cr_expect_str_eq(c->stats_users[0], "monitor");
	cr_expect_eq(c->tls_mode, TLS_OFF);
	cr_expect_str_eq(c->tls_certificate_file, "");
	cr_expect_str_eq(c->tls_key_file, "");
	snprintf(path, sizeof(path), "%s/ca.pem", files.folder);
	cr_expect_str_eq(c->tls_ca_file, path);
	cr_expect_str_eq(c->tls_min_version, "1.3");
	cr_expect_eq(c->defaults.server_tls_mode, TLS_OFF);
	cr_expect_str_eq(c->defaults.server_tls_ca_file, "/ca");
	cr_expect_str_eq(c->defaults.server_tls_certificate_file, "");
	cr_expect_str_eq(c->defaults.server_tls_key_file, "");
	cr_expect_str_eq(c->defaults.server_tls_negotiation, "postgres");
	cr_expect_str_eq(c->defaults.server_tls_min_version, "1.3");
	cr_expect_str_eq(c->log_destination, "/log");
	cr_expect_eq(c->log_format, LOG_FORMAT_JSON);
	cr_expect_eq(c->log_level, LOG_LEVEL_DEBUG);
	cr_expect(c->log_connections);
	cr_expect_eq(c->log_long_transaction_us, 46000000);
	cr_expect_eq(c->log_idle_transaction_us, 47000000);
	cr_expect_eq(c->slow_text, SLOW_TEXT_NONE);
	cr_expect(c->slow_parameters);
	cr_expect_eq(c->slow_sample_threshold_us, 40000);
	cr_expect_eq(c->slow_sample_rate, 0.125);
	cr_expect_eq(c->slow_query_stats, QUERY_STATS_ON);
	cr_expect_eq(c->slow_table_size, 43);
	cr_expect(c->http_enabled);
	cr_expect_str_eq(c->http_listen.host, "::1");
	cr_expect_eq(c->http_listen.port, 7005);
	cr_expect_str_eq(c->http_auth_file, "");
	cr_expect_eq(c->http_metrics_max_pools, 44);
	cr_expect(!c->http_user_histograms);
	cr_expect_str_eq(c->path, files.ini);
	cr_expect_str_eq(c->single_user, "");
	cr_expect_str_eq(c->single_password, "");
	config_unref(c);
}

/* n is the tens of the values in "everything"; the switches and words are looked at by the caller. */
static void
check_settings(const struct scope_settings *s, uint64_t n)
{
	cr_expect_eq(s->pool_size, n + 1);
	cr_expect_eq(s->max_overflow, n + 2);
	cr_expect_eq(s->overflow_delay_us, (n + 2) * S);
	cr_expect_eq(s->overflow_linger_us, (n + 3) * S);
	cr_expect_eq(s->pool_timeout_us, (n + 4) * S);
	cr_expect_eq(s->pool_recycle_us, (n + 5) * S);
	cr_expect_eq(s->outage_hold_us, (n + 100) * S);
	cr_expect_eq(s->pool_pre_ping_idle_us, (n + 6) * S);
	cr_expect_eq(s->ping_interval_us, (n + 7) * S);
	cr_expect_eq(s->min_idle, n);
	cr_expect_eq(s->idle_timeout_us, (n + 8) * S);
	cr_expect_eq(s->prepared_statements, n + 9);
}

Test(config, settings_of_all_pools_of_a_database_and_of_a_user)
{
	struct config *c;
	struct scope_settings s;

	c = load_good(everything);
	config_compute_settings(c, NULL, NULL, &s);
	check_settings(&s, 20);
	cr_expect_eq(s.pool_mode, POOL_MODE_SESSION);
	cr_expect_eq(s.session_state, SESSION_ALLOW);
	cr_expect_eq(s.begin, BEGIN_SENT);
	cr_expect_eq(s.forbidden, FORBIDDEN_BIT(FORBIDDEN_UPDATE));
	cr_expect_eq(s.on_outage, OUTAGE_HOLD);
	cr_expect(!s.pool_pre_ping && !s.pool_lifo && c->server_fast_close);
	cr_expect_eq(s.max_statement_size, 30 << 10);
	cr_expect_eq(c->prepared_statements_memory, 45 << 20);
	cr_expect_eq(c->prepared_statements_cache, 49 << 20);
	cr_expect_eq(c->wait_notify_us, 46 * S);
	cr_expect_eq(c->pool_idle_timeout_us, 47 * S);
	cr_expect_eq(s.max_db_connections, 47);
	cr_expect_eq(s.max_user_connections, 48);
	cr_expect(!s.statement_ignore_comments);
	cr_expect_eq(s.connect_timeout_us, 31000);
	cr_expect_eq(s.query_timeout_us, 33);
	cr_expect_eq(s.transaction_timeout_us, 34 * 60 * S);
	cr_expect_eq(s.idle_transaction_timeout_us, 35 * 3600 * S);
	cr_expect_eq(s.client_idle_timeout_us, 36 * 86400 * S);
	cr_expect_eq(s.slow_query_threshold_us, 41000);

	config_compute_settings(c, config_find_database(c, "app"), NULL, &s);
	check_settings(&s, 50);
	cr_expect_eq(s.pool_mode, POOL_MODE_STATEMENT);
	cr_expect_eq(s.session_state, SESSION_TRACK);
	cr_expect_eq(s.begin, BEGIN_SENT);
	cr_expect_eq(s.forbidden, FORBIDDEN_BIT(FORBIDDEN_DDL) | FORBIDDEN_BIT(FORBIDDEN_MULTI));
	cr_expect_eq(s.on_outage, OUTAGE_FAIL);
	cr_expect(s.pool_pre_ping && s.pool_lifo);
	cr_expect_eq(s.max_statement_size, 60 << 20);
	cr_expect(s.statement_ignore_comments);
	cr_expect_eq(s.connect_timeout_us, 61000);
	cr_expect_eq(s.query_timeout_us, 62000);
	cr_expect_eq(s.transaction_timeout_us, 63000);
	cr_expect_eq(s.idle_transaction_timeout_us, 64000);
	cr_expect_eq(s.client_idle_timeout_us, 65000);
	cr_expect_eq(s.max_db_connections, 66);
	cr_expect_eq(s.max_user_connections, 48);
	cr_expect_eq(s.slow_query_threshold_us, CONFIG_TIME_OFF);

	config_compute_settings(c, config_find_database(c, "app"), config_find_user(c, "web"), &s);
	check_settings(&s, 50);
	cr_expect_eq(s.pool_mode, POOL_MODE_TRANSACTION, "the user's wins");
	cr_expect_eq(s.query_timeout_us, 0, "also when it is nothing");
	cr_expect_eq(s.forbidden, 0);
	cr_expect_eq(s.max_user_connections, 67);
	cr_expect_eq(s.transaction_timeout_us, 63000, "what the user does not say is the database's");
	config_unref(c);
}

Test(config, databases_and_users_are_found_by_name)
{
	struct config *c;

	c = load_good(everything);
	cr_assert_eq(c->database_count, 3);
	cr_assert_eq(c->user_count, 2);
	cr_expect_str_eq(config_find_database(c, "app")->upstream->hosts[0].host, "db1");
	cr_expect_str_eq(config_find_database(c, "my db")->upstream->hosts[0].host, "db2");
	cr_expect_str_eq(config_find_database(c, "other")->name, "*");
	cr_expect_str_eq(config_find_database(c, "")->name, "*");
	cr_expect_str_eq(config_find_user(c, "say \"hi\"")->name, "say \"hi\"");
	cr_expect_null(config_find_user(c, "nobody"));
	cr_expect(config_is_admin(c, "root") && config_is_stats_user(c, "root") && config_is_stats_user(c, "monitor"));
	cr_expect(!config_is_admin(c, "monitor") && !config_is_stats_user(c, "web") && !config_is_admin(c, ""));
	cr_expect_str_eq(config_suggest_database(c, "ap"), "app");
	cr_expect_str_eq(config_suggest_database(c, "my-db"), "my db");
	cr_expect_null(config_suggest_database(c, "zebra"));
	cr_expect_null(config_suggest_database(c, "*"));
	config_unref(c);

	c = load_good(TRUST "[database app]\nupstream = host=h\n");
	cr_expect_null(config_find_database(c, "other"), "there is no [database *]");
	cr_expect_null(config_find_user(c, "anybody"));
	cr_expect_eq(config_ref(c), c);
	config_unref(c);
	cr_expect_str_eq(config_find_database(c, "app")->name, "app", "one reference is left");
	config_unref(c);
	config_unref(NULL);
}

static const struct {
	const char *rule, *raw, *value;
} expanded[] = {
	{ "a variable", "${PGWEIR_TEST_X}", "xyz" },
	{ "in the middle, and twice", "a${PGWEIR_TEST_X}b${PGWEIR_TEST_X}", "axyzbxyz" },
	{ "set but empty", "a${PGWEIR_TEST_EMPTY}b", "ab" },
	{ "a default for what is not set", "${PGWEIR_TEST_NONE:-d e}", "d e" },
	{ "and for what is empty", "${PGWEIR_TEST_EMPTY:-d}", "d" },
	{ "an empty default", "a${PGWEIR_TEST_NONE:-}b", "ab" },
	{ "a default that isn't used", "${PGWEIR_TEST_X:-d}", "xyz" },
	{ "two dollars are one", "a$$b", "a$b" },
	{ "two dollars and a brace are no variable", "$${PGWEIR_TEST_X}", "${PGWEIR_TEST_X}" },
	{ "a dollar alone stays", "SELECT $1", "SELECT $1" },
	{ "a dollar at the end stays", "a$", "a$" },
	{ "what comes out is not looked at again", "${PGWEIR_TEST_DOLLARS}", "$${PGWEIR_TEST_X}" },
};

Test(config, values_from_elsewhere)
{
	setenv("PGWEIR_TEST_X", "xyz", 1);
	setenv("PGWEIR_TEST_EMPTY", "", 1);
	setenv("PGWEIR_TEST_DOLLARS", "$${PGWEIR_TEST_X}", 1);
	unsetenv("PGWEIR_TEST_NONE");
	EACH(row, expanded) {
		char text[512];
		struct config *config;

		snprintf(text, sizeof(text), BASE "[pgweir]\npid_file = /%s\n", row->raw);
		config = load_good(text);
		cr_expect_str_eq(config->pid_file + 1, row->value, "%s", row->rule);
		config_unref(config);
	}
}

Test(config, a_value_from_a_file_is_its_content_without_the_last_newline)
{
	static const struct {
		const char *rule, *content;
		size_t len;
		const char *password; /* NULL: an error */
	} rows[] = {
		{ "with a newline", "a b\n", 4, "a b" }, { "without", "a b", 3, "a b" },
		{ "with CR LF", "a b\r\n", 5, "a b" },	 { "only the last one goes", "a\n\n", 3, "a\n" },
		{ "a zero byte", "a\0b", 3, NULL },
	};
	char text[512];

	snprintf(text, sizeof(text), TRUST "[database a]\nupstream = host=h password='${file:%s}'\n", files.users);
	EACH(row, rows) {
		struct config_problems problems = { 0 };
		struct config *config;

		put_file(files.users, row->content, row->len, 0600);
		config = load(text, &problems);
		cr_expect_eq(config == NULL, row->password == NULL, "%s", row->rule);
		if (config != NULL)
			cr_expect_str_eq(config->databases[0].upstream->password, row->password, "%s", row->rule);
		config_unref(config);
		config_problems_fini(&problems);
	}
}

Test(config, a_file_for_a_value_has_at_most_64_KiB)
{
	struct config_problems problems = { 0 };
	char text[512], *large = malloc((64 << 10) + 1);

	memset(large, ' ', (64 << 10) + 1);
	memcpy(large, "host=h", 6);
	snprintf(text, sizeof(text), TRUST "[database a]\nupstream = ${file:%s}\n", files.users);
	put_file(files.users, large, 64 << 10, 0600);
	config_unref(load_good(text));
	put_file(files.users, large, (64 << 10) + 1, 0600);
	cr_expect_null(load(text, &problems));
	cr_expect_not_null(strstr(problems.list[0].text, "is larger than 64 KiB"));
	config_problems_fini(&problems);
	free(large);
}

/* --- what is shown ---------------------------------------------------------------------------------------------- */

/* All rows as text, with or without their origins. */
static char *
rows_text(const struct config *config, void (*put)(const struct config_row *row, void *arg))
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	config_each(config, put, to);
	fclose(to);
	return text;
}

static void
put_value(const struct config_row *row, void *arg)
{
	fprintf(arg, "%s|%s|%s\n", row->section, row->key, row->value);
}

static void
put_all(const struct config_row *row, void *arg)
{
	fprintf(arg, "%s|%s|%s|%s|%s|%d\n", row->section, row->key, row->value, row->default_value,
		strrchr(row->origin, '/') ? strrchr(row->origin, '/') + 1 : row->origin, row->is_reloadable);
	cr_expect(row->help != NULL && *row->help != '\0', "%s", row->key);
	cr_expect_not_null(row->unit, "%s", row->key);
}

static char *
dump_text(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	config_dump(config, to);
	fclose(to);
	return text;
}

Test(config, rows_say_value_default_and_origin)
{
	struct config *config;
	char *text;

	config = load_good(DATABASE
			   "[auth]\nusers_file = users.txt\n[pgweir]\nlisten = *:1\nlisten = [::1]:2\n[slow_query]\n"
			   "threshold = off\n[user a]\npool_timeout = 90s\n[pool]\npool_timeout = 60s\n");
	text = rows_text(config, put_all);
	cr_expect_not_null(strstr(text, "pgweir|listen|*:1|127.0.0.1:6432|pgweir.ini:6|1\n"));
	cr_expect_not_null(strstr(text, "pgweir|listen|[::1]:2|127.0.0.1:6432|pgweir.ini:7|1\n"));
	cr_expect_not_null(strstr(text, "pool|pool_size|20|20|default|1\n"));
	cr_expect_not_null(strstr(text, "pool|pool_timeout|1min|30s|pgweir.ini:13|1\n"));
	cr_expect_not_null(strstr(text, "slow_query|threshold|off|100ms|pgweir.ini:9|1\n"));
	cr_expect_not_null(strstr(text, "slow_query|sample_rate|0.01|0.01|default|1\n"));
	cr_expect_not_null(strstr(text, "database *|upstream|host=h port=5432||pgweir.ini:2|1\n"));
	cr_expect_not_null(strstr(text, "user a|pool_timeout|90s|30s|pgweir.ini:11|1\n"));
	free(text);
	config_unref(config);
}

Test(config, defaults_are_shown_as_they_are_written)
{
	struct config *config;
	const struct config_key *key;
	char *text, want[256];

	config = load_good(BASE);
	text = rows_text(config, put_all);
	for (size_t i = 0; (key = config_key_at(i)) != NULL; i++) {
		const char *value = strcmp(key->name, "method") == 0 ? "trust" : key->default_value;

		snprintf(want, sizeof(want), "%s|%s|%s|%s|", key->section, key->name, value, key->default_value);
		cr_expect_not_null(strstr(text, want), "%s", want);
	}
	free(text);
	config_unref(config);
}

static void
check_dump_loads(const struct config *config, const char *rule)
{
	struct config_problems problems = { 0 };
	char *dump = dump_text(config), *before = rows_text(config, put_value), *after;
	struct config *again = load(dump, &problems);

	cr_assert_not_null(again, "%s: %s\n%s", rule, problem_text(&problems, 0), dump);
	after = rows_text(again, put_value);
	cr_expect_str_eq(after, before, "%s", rule);
	cr_assert_eq(again->database_count, config->database_count);
	for (size_t i = 0; i < config->database_count; i++) {
		const struct upstream *up = config->databases[i].upstream;

		cr_expect(*up->password != '\0' || upstream_equal(up, again->databases[i].upstream), "%s", rule);
	}
	free(before);
	free(after);
	free(dump);
	config_unref(again);
	config_problems_fini(&problems);
}

Test(config, tenants_are_found_by_the_name_of_a_database)
{
	struct config *c;

	c = load_good(BASE "[pgweir]\ntenants = user\n[tenant acme]\nupstream = host=a\npool_size = 3\n"
			   "[tenant Beta]\nupstream = host=b\n");
	cr_assert_eq(c->tenant_count, 2);
	cr_expect_str_eq(config_find_database(c, "acme/app")->upstream->hosts[0].host, "a");
	cr_expect_str_eq(config_find_database(c, "acme/a/b")->upstream->hosts[0].host, "a");
	cr_expect_null(config_find_database(c, "beta/app"), "case counts");
	cr_expect_null(config_find_database(c, "other/app"), "never one of no tenant");
	cr_expect_str_eq(config_find_database(c, "acme")->name, "*");
	cr_expect_str_eq(config_find_database(c, "a.b/app")->name, "*", "no tenant's name");
	cr_expect_eq(config_tenant_len(c, "acme/app"), 4);
	cr_expect_eq(config_tenant_len(c, "/app"), 0);
	cr_expect_str_eq(config_suggest_database(c, "acne/app"), "acme");
	cr_expect(config_may_name_tenant_in(c, NULL) && config_may_name_tenant_in(c, "user") &&
		  !config_may_name_tenant_in(c, "sni"));
	config_unref(c);

	c = load_good(BASE "[pgweir]\ntenants = user\n[tenant acme]\nupstream = host=a\n[tenant *]\n"
			   "upstream = host=%{tenant}\n");
	cr_expect_str_eq(config_find_database(c, "acme/app")->name, "acme");
	cr_expect_str_eq(config_find_database(c, "other/app")->name, "*");
	config_unref(c);

	c = load_good(BASE);
	cr_expect_eq(config_tenant_len(c, "acme/app"), 0, "not switched on");
	cr_expect_str_eq(config_find_database(c, "acme/app")->name, "*");
	config_unref(c);
}

Test(config, a_dump_loads_to_the_same_value)
{
	static const struct {
		const char *rule, *text;
	} rows[] = {
		{ "defaults", BASE },
		{ "everything", everything },
		{ "odd names",
		  BASE "[database a\"b]\nupstream = host=h\n[user \"a \"\"b\"]\n[user ;x]\n[user \xc3\xa4]\n"
		       "[user $x]\n[user a,b]\n[database \"*\"\"\"]\nupstream = host=h\n" },
		{ "an empty user", BASE "[user a]\n" },
		{ "off", BASE "[slow_query]\nthreshold = off\n[http]\nlisten = off\n" },
		{ "dollars", DATABASE TRUST "admin_users = a$$b, ${PGWEIR_TEST_X}\n" },
		{ "a value that looks like a comment", BASE "[pgweir]\npid_file = ${PGWEIR_TEST_COMMENT}\n" },
		{ "a value with blanks at its ends", BASE "[pgweir]\npid_file = ${PGWEIR_TEST_BLANKS}\n" },
		{ "a value that begins with a semicolon", DATABASE TRUST "admin_users =;a\n" },
		{ "a value longer than a line", BASE "[pgweir]\npid_file = ${PGWEIR_TEST_LONG}\n" },
		{ "an upstream from a variable", TRUST "[database a]\nupstream = ${PGWEIR_TEST_UPSTREAM}\n" },
		{ "an upstream longer than a line",
		  TRUST "[database a]\nupstream = host=h options='${PGWEIR_TEST_LONG}'\n" },
		{ "names", DATABASE TRUST "admin_users = \"a,b\" , c d, \"\"\"\" ,e\"f\n" },
		{ "a password",
		  TRUST "[database a]\nupstream = postgres://u:hunter2@h:1,[::1]:2/d?options=-c%20a%3Db%20;c\n" },
		{ "tenants", TRUST
		  "[pgweir]\ntenants = user, options\n[tenant a-b_1]\nupstream = host=h\npool_size = 3\n[tenant *]\n"
		  "upstream = host=%{tenant}.x dbname=%{database}%% user=%{user}\n" },
		{ "shares", BASE "[slow_query]\nsample_rate = 0.123456789\n" },
	};
	char longer[512] = "/";

	memset(longer + 1, 'x', 300);
	setenv("PGWEIR_TEST_X", "x$y", 1);
	setenv("PGWEIR_TEST_COMMENT", "/a ;b", 1);
	setenv("PGWEIR_TEST_BLANKS", "/ a ", 1);
	setenv("PGWEIR_TEST_LONG", longer, 1);
	setenv("PGWEIR_TEST_UPSTREAM", "host=h\nport=1\toptions='a ;b'", 1);
	EACH(row, rows) {
		struct config *config = load_good(row->text);

		check_dump_loads(config, row->rule);
		config_unref(config);
	}
}

Test(config, passwords_are_never_shown)
{
	struct config *config;
	char *rows, *dump;

	setenv("PGWEIR_TEST_SECRET", "hunter2", 1);
	config = load_good(TRUST "[database a]\nupstream = host=h password=hunter2\n[database b]\n"
				 "upstream = host=h password=${PGWEIR_TEST_SECRET}\n[database c]\n"
				 "upstream = postgres://u:hunter2@h\n");
	rows = rows_text(config, put_value);
	dump = dump_text(config);
	cr_expect_null(strstr(rows, "hunter2"), "%s", rows);
	cr_expect_null(strstr(dump, "hunter2"), "%s", dump);
	cr_expect_not_null(strstr(rows, "password=***"));
	cr_expect_not_null(strstr(dump, "password=***"));
	free(rows);
	free(dump);
	config_unref(config);
}

/* Of the source tree: make check says where it is. */
static char *
read_source(const char *path)
{
	const char *srcdir = getenv("srcdir");
	char name[512], *text = calloc(1, 1 << 20);
	FILE *file;

	snprintf(name, sizeof(name), "%s/%s", srcdir != NULL ? srcdir : ".", path);
	file = fopen(name, "r");
	cr_assert_not_null(file, "%s", name);
	cr_assert_gt(fread(text, 1, (1 << 20) - 1, file), 0);
	fclose(file);
	return text;
}

static void
expect_default(const struct config_row *row, void *arg)
{
	if (strcmp(row->key, "users_file") == 0 || strcmp(row->key, "upstream") == 0)
		return;
	cr_expect_str_eq(row->value, row->default_value, "[%s] %s", row->section, row->key);
	cr_expect_str_neq(row->origin, "default", "[%s] %s is not in conf/pgweir.ini", row->section, row->key);
}

Test(config, the_shipped_file_names_all_settings_with_their_defaults)
{
	char *shipped = read_source("conf/pgweir.ini"), *line, *rest, *text;
	struct config *config;

	line = strstr(shipped, "users_file = /etc/pgweir/users.txt ");
	cr_assert_not_null(line);
	rest = strchr(line, '\n');
	cr_assert_gt(asprintf(&text, "%.*susers_file = users.txt%s", (int)(line - shipped), shipped, rest), 0);
	config = load_good(text);
	config_each(config, expect_default, NULL);
	cr_expect_eq(config->database_count, 1);
	cr_expect_str_eq(config_find_database(config, "any")->upstream->hosts[0].host, "127.0.0.1");
	config_unref(config);
	free(text);
	free(shipped);
}

/* --- without a file --------------------------------------------------------------------------------------------- */

static void
clear_environment(const char *home)
{
	unsetenv("PGUSER");
	unsetenv("PGPASSWORD");
	unsetenv("PGPASSFILE");
	setenv("HOME", home, 1);
}

static struct config *
from_upstream(const char *uri)
{
	struct config_problems problems = { 0 };
	struct config *config = load_upstream(uri, &problems);

	cr_assert_not_null(config, "%s: %s", uri, problems.count > 0 ? problems.list[0].text : "");
	cr_expect_eq(problems.count, 0);
	config_problems_fini(&problems);
	return config;
}

Test(config, an_upstream_with_a_password_is_a_whole_configuration)
{
	struct config *c;
	struct scope_settings s;
	char *dump, *rows;

	clear_environment("/nonexistent");
	c = from_upstream("postgres://web:hunter2@db1:5433/app");
	cr_assert_eq(c->listen_count, 1);
	cr_expect_str_eq(c->listens[0].text, "127.0.0.1:6432");
	cr_expect_str_eq(c->http_listen.text, "127.0.0.1:9930");
	cr_expect_str_eq(c->path, "");
	cr_expect_eq(c->auth_method, AUTH_SCRAM_SHA_256);
	cr_expect_str_eq(c->users_file, "");
	cr_expect_str_eq(c->single_user, "web");
	cr_expect_str_eq(c->single_password, "hunter2");
	cr_expect(config_is_admin(c, "web"));
	cr_assert_not_null(config_find_database(c, "app"));
	cr_expect_null(config_find_database(c, "other"), "the URI names a database: there is no other");
	cr_expect_str_eq(config_find_database(c, "app")->upstream->password, "hunter2");
	cr_expect_eq(config_find_database(c, "app")->upstream->hosts[0].port, 5433);
	config_compute_settings(c, config_find_database(c, "app"), config_find_user(c, "web"), &s);
	cr_expect_eq(s.pool_size, 20);
	dump = dump_text(c);
	rows = rows_text(c, put_all);
	cr_expect_null(strstr(dump, "hunter2"));
	cr_expect_null(strstr(rows, "hunter2"));
	cr_expect_not_null(strstr(
	    rows, "database app|upstream|host=db1 port=5433 dbname=app user=web password=***||command line|1\n"));
	free(dump);
	free(rows);
	config_unref(c);
}

Test(config, an_upstream_without_a_password_trusts_clients_on_loopback)
{
	struct config_problems problems = { 0 };
	struct config *c;

	clear_environment("/nonexistent");
	c = from_upstream("host=db1");
	cr_expect_eq(c->auth_method, AUTH_TRUST);
	cr_expect_str_eq(c->single_user, "");
	cr_expect_str_eq(config_find_database(c, "any")->name, "*");
	cr_expect_str_eq(config_find_database(c, "any")->upstream->user, "", "each client is who it says it is");
	check_dump_loads(c, "without a password");
	config_unref(c);

	setenv("PGUSER", "web", 1);
	c = from_upstream("host=db1");
	cr_expect_str_eq(c->databases[0].upstream->user, "web");
	cr_expect_eq(c->auth_method, AUTH_TRUST);
	cr_expect(!config_is_admin(c, "web"));
	config_unref(c);

	cr_expect_null(load_upstream("host=db1 prot=5", &problems));
	cr_assert_eq(problems.error_count, 1);
	cr_expect_eq(strncmp(problems.list[0].text, "--upstream: error: \"prot\" is not known here", 43), 0, "%s",
		     problems.list[0].text);
	cr_expect_null(load_upstream("host=db1 dbname=pgbouncer", &problems));
	cr_expect_str_eq(problems.list[1].text,
			 "--upstream: error: the database name \"pgbouncer\" is reserved for the console");
	config_problems_fini(&problems);
}

Test(config, a_user_from_the_environment_is_checked_like_one_in_the_upstream)
{
	static const char *const passwords[] = { "", "x" };

	clear_environment("/nonexistent");
	setenv("PGUSER", "a\tb", 1);
	EACH(password, passwords) {
		struct config_problems problems = { 0 };

		setenv("PGPASSWORD", *password, 1);
		cr_expect_null(load_upstream("host=db1", &problems));
		cr_expect_eq(problems.error_count, 1);
		cr_expect_str_eq(problem_text(&problems, 0),
				 "--upstream: error: PGUSER must not contain control characters");
		config_problems_fini(&problems);
		config_unref(from_upstream("host=db1 user=web"));
	}
}

Test(config, where_the_password_of_an_upstream_comes_from)
{
	static const char passfile[] = "db2:5432:*:web:from passfile\n*:*:*:other:no\n";
	struct config_problems problems = { 0 };
	char path[128];
	struct config *c;

	clear_environment(files.folder);
	snprintf(path, sizeof(path), "%s/.pgpass", files.folder);
	put_file(path, passfile, strlen(passfile), 0600);

	c = from_upstream("host=db1,db2 user=web");
	cr_expect_str_eq(c->single_password, "from passfile", "one of the hosts has one");
	cr_expect_str_eq(c->databases[0].upstream->password, "from passfile");
	config_unref(c);

	setenv("PGPASSWORD", "from environment", 1);
	c = from_upstream("host=db1,db2 user=web");
	cr_expect_str_eq(c->single_password, "from environment");
	config_unref(c);
	c = from_upstream("host=db1,db2 user=web password=given");
	cr_expect_str_eq(c->single_password, "given");
	config_unref(c);
	unsetenv("PGPASSWORD");

	chmod(path, 0644);
	c = load_upstream("host=db2 user=web", &problems);
	cr_assert_not_null(c);
	cr_expect_str_eq(c->single_password, "", "everyone can read it: as in libpq it is ignored");
	cr_expect_eq(problems.error_count, 0);
	cr_assert_eq(problems.count, 1);
	cr_expect_not_null(strstr(problems.list[0].text, "warning: ") && strstr(problems.list[0].text, "chmod 600"));
	config_unref(c);
	config_problems_fini(&problems);

	chmod(path, 0600);
	setenv("HOME", "/nonexistent", 1);
	setenv("PGPASSFILE", path, 1);
	c = from_upstream("host=db2 user=web");
	cr_expect_str_eq(c->single_password, "from passfile");
	config_unref(c);
	unlink(path);
}

/* --- did you mean ----------------------------------------------------------------------------------------------- */

static const struct {
	const char *rule, *a, *b;
	unsigned want;
} distances[] = {
	{ "the same", "pool", "pool", 0 },
	{ "one more", "pool", "pools", 1 },
	{ "one less", "pool", "pol", 1 },
	{ "one changed", "pool", "poll", 1 },
	{ "two that changed places are one", "pool", "oopl", 2 },
	{ "neighbours that changed places", "size", "szie", 1 },
	{ "two", "kitten", "sitted", 2 },
	{ "more than the limit", "kitten", "sitting", 3 },
	{ "nothing", "", "ab", 2 },
	{ "longer than anything known", "x1234567890123456789012345678901234567890123456789012345678901234",
	  "x1234567890123456789012345678901234567890123456789012345678901234", 3 },
};

Test(suggest, distances)
{
	EACH(row, distances) {
		cr_expect_eq(nearest_distance(row->a, row->b, 2), row->want, "%s", row->rule);
		cr_expect_eq(nearest_distance(row->b, row->a, 2), row->want, "%s", row->rule);
	}
}

static const struct {
	const char *word, *of;
	bool want;
} shorts[] = {
	{ "cert_file", "certificate_file", true },
	{ "cert", "certificate_file", true },
	{ "file", "certificate_file", true },
	{ "CERTIFICATES", "certificate_file", true },
	{ "max_connections", "max_client_connections", true },
	{ "scram", "scram-sha-256", true },
	{ "scram_sha", "scram-sha-256", true },
	{ "file_cert", "certificate_file", false },
	{ "c_file", "certificate_file", false },
	{ "certificate_file_name", "certificate_file", false },
	{ "ert", "certificate_file", false },
	{ "_", "certificate_file", false },
	{ "pinned", "pin", false },
	{ "pins", "pin", true },
};

Test(suggest, short_names)
{
	EACH(row, shorts)
		cr_expect_eq(nearest_is_abbreviation(row->word, row->of), row->want, "%s", row->word);
}
