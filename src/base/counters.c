#include "base/counters.h"
#include "base/request_report.h"

#include <string.h>

/* The classes of PostgreSQL's manual, appendix A. */
const char *const error_classes[ERROR_CLASSES_MAX] = { "00", "01", "02", "03",	 "08",	  "09", "0A", "0B", "0F", "0L",
						       "0P", "0Z", "20", "21",	 "22",	  "23", "24", "25", "26", "27",
						       "28", "2B", "2D", "2F",	 "34",	  "38", "39", "3B", "3D", "3F",
						       "40", "42", "44", "53",	 "54",	  "55", "57", "58", "72", "F0",
						       "HV", "P0", "XX", "none", "other", NULL };
enum { ERROR_CLASS_NONE = 43, ERROR_CLASS_OTHER = 44 };

unsigned
counters_error_class(const char *sqlstate)
{
	if (sqlstate == NULL || sqlstate[0] == '\0' || sqlstate[1] == '\0')
		return ERROR_CLASS_NONE;
	for (unsigned i = 0; i < ERROR_CLASS_NONE; i++)
		if (memcmp(error_classes[i], sqlstate, 2) == 0)
			return i;
	return ERROR_CLASS_OTHER;
}

/* These structs, with their histograms, consist of uint64_t alone, so counters_add() can add whole structs. */
_Static_assert(sizeof(struct pool_counters) % sizeof(uint64_t) == 0, "only uint64_t");
_Static_assert(sizeof(struct database_counters) % sizeof(uint64_t) == 0, "only uint64_t");
_Static_assert(sizeof(struct process_counters) % sizeof(uint64_t) == 0, "only uint64_t");

void
counters_add(void *to, const void *from, size_t len)
{
	uint64_t *a = to;
	const uint64_t *b = from;

	for (size_t i = 0; i < len / sizeof(*a); i++)
		a[i] += b[i];
}

#define AS_NAME(value, name) [value] = name,
const char *const request_failure_names[RF_COUNT] = { REQUEST_FAILURES(AS_NAME) };
const char *const wait_outcome_names[WAIT_COUNT] = { WAIT_OUTCOMES(AS_NAME) };
const char *const query_kind_names[QK_COUNT] = { QUERY_KINDS(AS_NAME) };
const char *const transaction_end_names[TE_COUNT] = { TRANSACTION_ENDS(AS_NAME) };
const char *const phase_names[PHASE_COUNT] = { PHASES(AS_NAME) };
const char *const error_origin_names[EO_COUNT] = { [EO_SERVER] = "server", [EO_PROXY] = "proxy" };
const char *const checkout_source_names[CS_COUNT] = { CHECKOUT_SOURCES(AS_NAME) };
const char *const recycle_reason_names[RR_COUNT] = { RECYCLE_REASONS(AS_NAME) };
const char *const pin_reason_names[PIN_COUNT] = { PIN_REASONS(AS_NAME) };
const char *const login_result_names[LR_COUNT] = { LOGIN_RESULTS(AS_NAME) };
const char *const commit_result_names[CC_COUNT] = { COMMIT_RESULTS(AS_NAME) };
const char *const tls_side_names[TLS_SIDES] = { [TLS_SIDE_CLIENT] = "client", [TLS_SIDE_SERVER] = "server" };
const char *const tls_result_names[TLS_RESULTS] = { TLS_HANDSHAKES(AS_NAME) };
const char *const login_method_names[LM_COUNT] = { LOGIN_METHODS(AS_NAME) AUTH_MODULES(MODULE_WORD) };
const char *const reject_reason_names[RJ_COUNT] = { REJECT_REASONS(AS_NAME) };
const char *const connect_failure_names[CF_COUNT] = { CONNECT_FAILURES(AS_NAME) };
const char *const pipeline_result_names[PL_COUNT] = { PIPELINE_RESULTS(AS_NAME) };
const char *const read_target_names[RT_COUNT] = { READ_TARGETS(AS_NAME) };
#define AS_WORD(value, name) name,
const char *const forbidden_names[FORBIDDEN_COUNT - 1] = { FORBIDDEN_STATEMENTS(AS_WORD) "too_long" };
const char *const cancel_result_names[CR_COUNT] = { CANCEL_RESULTS(AS_NAME) };
const char *const canceler_names[CANCELED_COUNT] = { CANCELERS(AS_NAME) };
const char *const transfer_names[TRANSFER_COUNT] = { TRANSFER_KINDS(AS_NAME) };
const char *const auth_query_result_names[AQ_COUNT] = { AUTH_QUERY_RESULTS(AS_NAME) };
const char *const net_side_names[NS_COUNT] = { [NS_CLIENT] = "client", [NS_SERVER] = "server" };

void
counters_add_waits(struct histogram *to, const struct database_counters *c)
{
	for (size_t i = 0; i < WAIT_COUNT; i++)
		histogram_add(to, &c->pool_wait[i]);
}

const char *
request_cause(const struct request_report *r)
{
	size_t largest = PHASE_SERVER; /* taken if no other phase is longer */

	for (size_t i = 0; i < PHASE_COUNT; i++)
		if (r->phase_us[i] > r->phase_us[largest])
			largest = i;
	if (largest == PHASE_CLIENT && r->event != NULL && strcmp(r->event, "backend_lost") == 0)
		return r->event; /* servers are mostly lost between two requests, and not because of the client */
	return phase_names[largest];
}
