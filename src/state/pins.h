/*
 * src/state/pins.h - why a client keeps its server between transactions, and what the loss of that server means.
 */
#pragma once

#include "exchange/exchange.h"

bool state_is_refused(const struct exchange *x, struct fail *why); /* its next request is answered with why, FATAL */
bool state_ties(const struct exchange *x,
		enum feature_tie to); /* TIE_PROCESS: not all of its session is in its image */
/* The server is lost, and settings with it: the client's next request is answered with why, FATAL. -1: no memory. */
int state_lose(struct exchange *x, const struct fail *why);
void state_forget_request(struct exchange *x); /* its server is lost, and has not executed what is noted */
const char *state_pin_reasons(const struct exchange *x, char *out, size_t out_cap); /* "temp_table, cursor"; "" */
