/*
 * tests/fuzz/session_quiet.h - what would make a run noisy, slow or unlike the run before is replaced, at link time:
 * the monotonic clock stands still until quiet_pass, randomness follows from quiet_reset, our log formats its lines and
 * drops them (with SESSION_LOG in the environment: to stderr), the helpers work on the loop's own thread.
 */
#ifndef PGWEIR_FUZZ_SESSION_QUIET_H
#define PGWEIR_FUZZ_SESSION_QUIET_H

#include <stdint.h>

void quiet_reset(uint64_t seed);
void quiet_pass(uint64_t us);
uint64_t quiet_random(void);

#endif
