/*
 * src/os/os.h - the process as the system sees it: its user, its pid file, the service manager that started it, and the
 * successor that it starts in a restart. These files know the configuration and the log, but no clients or servers.
 */
#pragma once

#include "base/fail.h"
#include "log/log.h"
#include "config/config.h"

#include <signal.h>
#include <sys/types.h>

/* --- privileges.c: functions that return -1 set *why, and pgweir must then end --- */

/* Called before any secret is read: prevents core files, and keeps other processes of the same system user from reading
 * our memory (prctl(2), PR_SET_DUMPABLE). PGWEIR_CORE=1 in the environment switches this off, for debugging. */
void os_hide_memory(void);
/* Returns 0 if there is no run_as or its user exists, else -1. */
int os_check_user(const struct config *config, struct fail *why);
/* As root with run_as, takes that user's rights until os_act_as_root() is called. os_act_as_root() returns false if
 * there was nothing to take back. */
int os_act_as_user(const struct config *config, struct fail *why);
bool os_act_as_root(const struct config *config);
void os_give_logs(const struct config *config); /* gives the logs to the user of run_as; creates them if needed */
/* Becomes the user of run_as for good. Returns 1 if this is another user than before, 0 if nothing has changed, or
 * -1. */
int os_become_user(const struct config *config, struct log *log, struct fail *why);

/* --- pid_file.c --- */

/* Writes our PID to pid_file, if one is configured. Returns 0, or -1 with *why set. */
int os_write_pid_file(const struct config *config, struct fail *why);
void os_remove_pid_file(const struct config *config, struct log *log);

/* --- service_manager.c --- */

#define OS_FIRST_PASSED_FD 3 /* SD_LISTEN_FDS_START */

/* Calls sd_notify(3), if a service manager listens. state has lines like "READY=1". */
void os_notify(const char *state);
/* Returns the interval in microseconds at which the service manager expects "WATCHDOG=1" (sd_watchdog_enabled(3)), or 0
 * if it does not expect that. Removes the environment variable with the PID, so a successor of this process gets the
 * interval, too. */
uint64_t os_watchdog_us(void);
/* Returns how many listening sockets the service manager has passed to this very process (sd_listen_fds(3)), from
 * OS_FIRST_PASSED_FD on. Removes the environment variables, which are not for this process's children, so a second call
 * returns 0. */
int os_passed_sockets(void);

/* --- spawn.c --- */

/* Returns the name by which this program is run again, so an upgrade that was installed under the same name is run. The
 * name is argv0 if argv0 is the path of a program, or if PATH leads from argv0 to the file that runs now. Otherwise the
 * name is the path of the file that runs now, which is written to room. */
const char *os_program(const char *argv0, char *room, size_t room_size);
/* Runs program with these arguments; the first is its argv[0]. fd is the link to this process; it is borrowed. The new
 * process has `variable` in its environment, with the value "descriptor:PID of this process". Signals that would end a
 * process without handlers are blocked until the new process calls os_unblock_signals(). Returns the new process's PID,
 * or -1 with *why set. */
pid_t os_spawn(const char *program, char *const *argv, int fd, const char *variable, struct fail *why);
void os_unblock_signals(void); /* called when the process has handlers */

/* --- processors.c --- */

/* Returns the number of processors that this process may use, at least 1: sched_getaffinity(2), and the quota of its
 * cgroups. */
unsigned os_processors(void);
/* Returns the CPU quota of this process's cgroups as a number of processors, rounded up; UINT_MAX if there is no quota.
 * groups: the path of the file that names the cgroups (/proc/self/cgroup). mount: where the cgroups are mounted; reads
 * cpu.max of v2 below mount, and cpu.cfs_quota_us of v1 below mount/cpu: see cgroups(7). */
unsigned os_cpu_quota(const char *groups, const char *mount);
