#include "base/request_report.h"

const char *
request_cause(const struct request_report *r)
{
	static const char *const names[PHASE_COUNT] = {
		[PHASE_WAIT] = "pool_wait",	    [PHASE_CONNECT] = "connect",	  [PHASE_SERVER] = "server",
		[PHASE_STREAM] = "result_transfer", [PHASE_CLIENT_WRITE] = "slow_client", [PHASE_PROXY] = "proxy",
	};
	size_t largest = PHASE_SERVER; /* of equals, this one */

	for (size_t i = 0; i < PHASE_COUNT; i++)
		if (r->phase_us[i] > r->phase_us[largest])
			largest = i;
	return names[largest];
}
