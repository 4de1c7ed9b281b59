/*
 * src/modules/modules.h - the list of modules, which are optional features, with a row for each. Code outside modules/
 * (the core) knows modules only by this list. A module is left out, and its row is empty, if configure was told so, or
 * did not find the module's library.
 *
 * Always: the core includes no other header of modules/, and this header includes only build.h.
 */
#pragma once

#include "build.h"

/*
 * X(NAME, KEY, TYPE, DEFAULT, DOCUMENTATION): a method of authentication in which another service judges the client's
 * proof (auth/auth_module.h). NAME is the method's name. KEY, TYPE, DEFAULT and DOCUMENTATION describe its setting in
 * [auth] (config/config_keys.h).
 */
/* clang-format off */
#ifdef WITH_LDAP
#define LDAP_ROW(X) \
	X(ldap, "ldap_options", KEY_SECRET, "", \
	  "for method = ldap: the LDAP server and what it is asked, in pg_hba.conf's options (ldapserver=..., ldapurl=...)")
#else
#define LDAP_ROW(X)
#endif
#ifdef WITH_PAM
#define PAM_ROW(X) \
	X(pam, "pam_service", KEY_TEXT, "pgweir", \
	  "for method = pam, and rules without pamservice: the file in /etc/pam.d")
#else
#define PAM_ROW(X)
#endif
#ifdef WITH_GSS
#define GSS_ROW(X) \
	X(gss, "gss_options", KEY_TEXT, "", \
	  "for method = gss: pg_hba.conf's options include_realm and krb_realm, and krb_server_keyfile, the keytab")
#else
#define GSS_ROW(X)
#endif
#define AUTH_MODULES(X) LDAP_ROW(X) PAM_ROW(X) GSS_ROW(X)

/*
 * Rows of modules that have a struct module (config/module.h):
 *   MODULE(NAME)
 *   SETTING(NUMBER, SECTION, KEY, TYPE, DEFAULT, BOUNDS, WORDS, DOCUMENTATION): a setting of SECTION, listed
 *       after slow_query.threshold in the table of settings. The value is config->module_values[NUMBER]
 *   SHOW(...): a SHOW command, with the arguments that admin/show_list.h explains
 */
#ifdef WITH_SLOWLOG
#define SLOWLOG_ROWS(MODULE, SETTING, SHOW) \
	MODULE(slowlog) \
	SETTING(SLOW_QUERY_FILE, "slow_query", "file", KEY_PATH, "stderr", NO_BOUNDS, WORDS("stderr"), \
		"where the slow-query log goes; SIGHUP reopens a file") \
	SETTING(SLOW_QUERY_FORMAT, "slow_query", "format", KEY_WORD, "json", NO_BOUNDS, WORDS("json", "postgres"), \
		"the format of a line; postgres is for pgBadger") \
	SETTING(SLOW_QUERY_LINES, "slow_query", "max_lines_per_second", KEY_COUNT, "200", BOUNDS(0, 100000, "lines"), NULL, \
		"further lines are counted, not written; 0: no limit") \
	SHOW(SLOW, slow, ANYBODY, "the last slow requests, with their phases", "SHOW SLOW")
#else
#define SLOWLOG_ROWS(MODULE, SETTING, SHOW)
#endif
#define ROWS_OF_MODULES(MODULE, SETTING, SHOW) SLOWLOG_ROWS(MODULE, SETTING, SHOW)

/* X(NAME, WORDS, PATH): a page that the HTTP server shows besides metrics and health (http/http_module.h), at PATH.
 * WORDS name the page in the documentation. */
#ifdef WITH_STATUS_PAGE
#define STATUS_PAGE_ROW(X) X(status_page, "the status page", "/")
#else
#define STATUS_PAGE_ROW(X)
#endif
#define HTTP_MODULES(X) STATUS_PAGE_ROW(X)

/* X(NAME): a format of another program's configuration files, which pgweir can read as well (load/file_format.h). */
#ifdef WITH_PGBOUNCER_INI
#define PGBOUNCER_INI_ROW(X) X(pgbouncer_ini)
#else
#define PGBOUNCER_INI_ROW(X)
#endif
#define FILE_FORMATS(X) PGBOUNCER_INI_ROW(X)
/* clang-format on */

#define NO_ROW(...)
#define MODULES(X) ROWS_OF_MODULES(X, NO_ROW, NO_ROW)
#define MODULE_SETTINGS(X) ROWS_OF_MODULES(NO_ROW, X, NO_ROW)
#define MODULE_SHOWS(X) ROWS_OF_MODULES(NO_ROW, NO_ROW, X)

#define AUTH_MODULE_NUMBER(name, ...) AUTH_MODULE_##name,
#define MODULE_WORD(name, ...) #name,
#define MODULE_KEY(name, key, ...) key,
enum auth_module_number { AUTH_MODULES(AUTH_MODULE_NUMBER) AUTH_MODULE_COUNT };
#define MODULE_NUMBER(name) MODULE_##name,
enum module_number { MODULES(MODULE_NUMBER) MODULE_COUNT };
#define MODULE_VALUE(number, ...) number,
/* Indexes of config->module_values. First come the settings of AUTH_MODULES, in the order of enum
 * auth_module_number. */
enum module_value_number { LAST_OF_AUTH = AUTH_MODULE_COUNT - 1, MODULE_SETTINGS(MODULE_VALUE) MODULE_VALUE_COUNT };

#define HTTP_MODULE_WORDS(name, words, path) words ", "
#define HTTP_MODULE_PATH(name, words, path) path ", "
