/*
 * src/os/os.h - functions about the process: its user, its pid file, its service manager, its share of the processors,
 * and the start of a successor in a restart. These functions know nothing of clients and servers.
 */
#pragma once

#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"

#include <signal.h>
#include <sys/types.h>

/* --- privileges.c: functions that return -1 set *why; the caller must then end the process --- */

/* Called before any secret is read. Prevents core files, and keeps other processes of the same system user from reading
 * this process's memory (prctl(2), PR_SET_DUMPABLE). With PGWEIR_CORE=1 in the environment, allows both instead. */
void os_hide_memory(void);
/* Returns 0 if the setting run_as is empty, or names a user that exists; otherwise -1. */
int os_check_user(const struct config *config, struct fail *why);
/* If the process runs as root and run_as is set, takes that user's rights until os_act_as_root(). Returns 0, or -1. */
int os_act_as_user(const struct config *config, struct fail *why);
/* Takes root's rights again. Returns true; or false if os_act_as_user() had changed nothing, or on failure. */
bool os_act_as_root(const struct config *config);
/* If the process runs as root, creates missing log files, and gives log files of root's to the run_as user. */
void os_chown_logs(const struct config *config);
/* Becomes the run_as user, who then owns the pid file and sockets. Returns 1; 0 if the user stays the same; or -1. */
int os_become_user(const struct config *config, struct log *log, struct fail *why);

/* --- pid_file.c --- */

/* Writes our PID to pid_file, if one is configured. Returns 0, or -1 with *why set. */
int os_write_pid_file(const struct config *config, struct fail *why);
void os_remove_pid_file(const struct config *config, struct log *log);

/* --- service_manager.c --- */

#define OS_FIRST_PASSED_FD 3 /* SD_LISTEN_FDS_START */

/* Calls sd_notify(3), which does nothing without a service manager. state has lines such as "READY=1". */
void os_notify(const char *state);
/* Returns the longest time in microseconds between two messages "WATCHDOG=1" that the service manager accepts, or 0 if
 * it expects no such messages (sd_watchdog_enabled(3)). Removes WATCHDOG_PID from the environment, so that a successor,
 * whose PID differs, gets the same result. */
uint64_t os_take_watchdog_us(void);
/* Returns how many listening sockets the service manager has passed to this process (sd_listen_fds(3)); the first is
 * OS_FIRST_PASSED_FD. Removes this number from the environment, so child processes, and a second call, find none. */
int os_take_passed_sockets(void);

/* --- spawn.c --- */

/* Called at the start. Returns the file that a restart will run: argv0, if argv0 is the path of an executable file, or
 * if PATH leads from argv0 to the file of this process. The restart then runs an upgrade that was installed there.
 * Otherwise returns the path of this process's own file, written to room; or argv0 if room_size is too small. */
const char *os_find_program(const char *argv0, char *room, size_t room_size);
/* Runs program with the arguments argv, the first of which is argv[0]. The new process gets a copy of fd, and the
 * environment variable `variable` with the value "<number of that descriptor>:<PID of this process>". SIGHUP, SIGUSR1
 * and SIGUSR2 are blocked until the new process calls os_unblock_signals(). Returns the new process's PID, or -1 with
 * *why set. */
pid_t os_spawn(const char *program, char *const *argv, int fd, const char *variable, struct fail *why);
void os_unblock_signals(void); /* called once the process has handlers for SIGHUP, SIGUSR1 and SIGUSR2 */

/* --- processors.c --- */

/* Returns how many processors this process may use, at least 1: the smaller of sched_getaffinity(2) and
 * os_cpu_quota(). */
unsigned os_count_processors(void);
/* Returns the CPU quota of this process's cgroups as a number of processors, rounded up; UINT_MAX if there is no quota.
 * groups is the path of the file with the names of the cgroups (/proc/self/cgroup), and mount is the directory where
 * cgroups are mounted: cpu.max is read below mount, and version 1's cpu.cfs_quota_us below mount/cpu (cgroups(7)). */
unsigned os_cpu_quota(const char *groups, const char *mount);
