/*
 * Fails chosen system calls on the files of one SQLite database.
 *
 * The tests compile this file into a shared library and give it to a server process by LD_PRELOAD, so that the linker
 * binds the server's calls to the functions below. PARLOR_FAULT_PREFIX is the path of the database; a file whose path
 * begins with it (the database, its -wal and its -shm) is watched, any other passes. PARLOR_FAULT_CONTROL is a file of
 * sizeof(struct control) bytes that the test writes and reads while the server runs.
 *
 * Pass-through goes to the kernel by syscall(2). 64-bit Linux with glibc only: off_t has 64 bits there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Classes of calls; `calls` of the control is a union of them. */
enum { CALL_WRITE = 1, CALL_SYNC = 2, CALL_TRUNCATE = 4, CALL_READ = 8, CALL_OPEN = 16, CALL_LOCK = 32 };

/* Shared with the test, which knows the offsets (support/fault.rs). */
struct control {
    uint32_t armed; /* 0: every call passes and none is counted */
    uint32_t calls; /* the classes that are counted */
    uint32_t error; /* errno of a failing call */
    uint32_t torn;  /* 1: of failing writes the first one stores half of its bytes and reports that */
    uint64_t first; /* the first call that fails, counted from 1 */
    uint64_t last;  /* the last call that fails */
    uint64_t seen;  /* calls since the test set this to 0 */
    uint64_t failed;
};

static struct control *control;
static char prefix[4096];

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PARLOR_FAULT_CONTROL"), *database = getenv("PARLOR_FAULT_PREFIX");
    if (!path || !database || strlen(database) >= sizeof prefix) {
        fputs("fault.c: PARLOR_FAULT_CONTROL and PARLOR_FAULT_PREFIX must be set\n", stderr);
        abort();
    }
    strcpy(prefix, database);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || shared == MAP_FAILED) {
        perror("fault.c: PARLOR_FAULT_CONTROL");
        abort();
    }
    syscall(SYS_close, fd);
    control = shared;
}

static int is_watched_path(const char *path)
{
    return prefix[0] && !strncmp(path, prefix, strlen(prefix));
}

/* Asks the kernel for the path, so that no open, dup or close needs to be followed. */
static int is_watched(int fd)
{
    char link[64], path[sizeof prefix];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return is_watched_path(path);
}

static int is_armed(uint32_t call)
{
    return control && __atomic_load_n(&control->armed, __ATOMIC_SEQ_CST) && (control->calls & call);
}

/* Counts a call on a watched file. Returns 0 to let it pass, 1 to fail it with errno set, 2 to tear it. */
static int count(uint32_t call)
{
    uint64_t number = __atomic_add_fetch(&control->seen, 1, __ATOMIC_SEQ_CST);
    if (number < control->first || number > control->last)
        return 0;
    uint64_t failed = __atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST);
    if (call == CALL_WRITE && control->torn && failed == 1)
        return 2;
    errno = (int)control->error;
    return 1;
}

static int verdict(uint32_t call, int fd)
{
    int before = errno;
    if (!is_armed(call) || !is_watched(fd)) {
        errno = before;
        return 0;
    }
    return count(call);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    int fault = verdict(CALL_WRITE, fd);
    if (fault == 1)
        return -1;
    return syscall(SYS_pwrite64, fd, bytes, fault == 2 ? length / 2 : length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return pwrite64(fd, bytes, length, offset);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    int fault = verdict(CALL_WRITE, fd);
    if (fault == 1)
        return -1;
    return syscall(SYS_write, fd, bytes, fault == 2 ? length / 2 : length);
}

ssize_t writev(int fd, const struct iovec *parts, int count_of_parts)
{
    return verdict(CALL_WRITE, fd) ? -1 : syscall(SYS_writev, fd, parts, count_of_parts);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset)
{
    return verdict(CALL_READ, fd) ? -1 : syscall(SYS_pread64, fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset)
{
    return pread64(fd, bytes, length, offset);
}

ssize_t read(int fd, void *bytes, size_t length)
{
    return verdict(CALL_READ, fd) ? -1 : syscall(SYS_read, fd, bytes, length);
}

int fsync(int fd)
{
    return verdict(CALL_SYNC, fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return verdict(CALL_SYNC, fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate64(int fd, off64_t length)
{
    return verdict(CALL_TRUNCATE, fd) ? -1 : (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return verdict(CALL_TRUNCATE, fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (is_armed(CALL_OPEN) && is_watched_path(path) && count(CALL_OPEN))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));

/* Only taking a lock fails: SQLite takes it that giving one up succeeds, as it does on a real file. */
int fcntl64(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if ((command == F_SETLK || command == F_SETLKW) && ((struct flock *)argument)->l_type != F_UNLCK &&
        verdict(CALL_LOCK, fd))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));
