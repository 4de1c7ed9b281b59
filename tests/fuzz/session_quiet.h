/*
 * tests/fuzz/session_quiet.h - what would make a run noisy, slow or unlike the run before is replaced, at link time:
 * the monotonic clock stands still until quiet_pass, randomness follows from quiet_reset, our log formats its lines and
 * drops them (with SESSION_LOG in the environment: to stderr), helpers and workers have no threads: who calls turns the
 * loops of workers one at a time.
 */
#pragma once

#include <stdint.h>

void quiet_reset(uint64_t seed);
void quiet_pass(uint64_t us);
uint64_t quiet_random(void);
/*
 * A folder of this process's own, which is made at the first call and removed at the end; whoever puts something there
 * takes it away. Its name is the same in each process, as hashes of it must be.
 */
const char *quiet_folder(void);
/* From now on so many notes in 256 are read up to 5 ms after they were posted, with all behind them in their inbox. */
void quiet_delay_notes(unsigned of_256);
/*
 * Turns this loop, as if other workers were threads: of the notes that are posted to them meanwhile, so many in 256 are
 * read at once, while the functions that have posted them are still on the stack.
 */
struct worker;
void quiet_turn(const struct worker *k, unsigned of_256);
/* From now on so many halts in 256 are given up, where there are several workers. */
void quiet_give_up_halts(unsigned of_256);
