/* A program that knows of rings what docs/layout.md says: shows the header of an SPSC ring of bytes, and the message
 * that would be received next. It takes no part: no lock, no seat, nothing is written.
 *
 *     reader posix /NAME
 *     reader sysv KEY
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are little-endian"
#endif

static const unsigned char *object;

static uint32_t u32_at(uint64_t offset)
{
    return *(const uint32_t *)(object + offset);
}

static uint64_t u64_at(uint64_t offset)
{
    return __atomic_load_n((const uint64_t *)(object + offset), __ATOMIC_ACQUIRE);
}

static int refuse(const char *why)
{
    printf("refused: %s\n", why);
    return 1;
}

/* Returns the bytes that are mapped; 0 if there is no such object. */
static uint64_t map_posix(const char *name)
{
    struct stat stat;
    int file = shm_open(name, O_RDONLY, 0);
    if (file < 0 || fstat(file, &stat) < 0 || stat.st_size <= 0)
        return 0;
    void *mapped = mmap(NULL, stat.st_size, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        return 0;
    object = mapped;
    return stat.st_size;
}

static uint64_t map_sysv(const char *key)
{
    struct shmid_ds description;
    int id = shmget((key_t)strtoul(key, NULL, 0), 0, 0);
    if (id < 0 || shmctl(id, IPC_STAT, &description) < 0)
        return 0;
    void *attached = shmat(id, NULL, SHM_RDONLY);
    if (attached == (void *)-1)
        return 0;
    object = attached;
    return description.shm_segsz;
}

static int show_message(uint64_t capacity)
{
    /* The cursor's ledger: the entry with the greater position counts. */
    uint64_t one = u64_at(1024 + 128), other = u64_at(1024 + 128 + 16);
    uint64_t position = other > one ? other : one;
    for (int pads = 0; pads < 2; pads++) {
        uint64_t offset = 4096 + position % capacity, header = u64_at(offset);
        uint64_t length = header & 0xffffffffff, kind = header >> 40 & 0xff, tag = header >> 48;
        if (position % 8 != 0)
            return refuse("the cursor is not a multiple of 8");
        if (header == 0) {
            printf("empty\n");
            return 0;
        }
        if (length > 4096 + capacity - offset - 8)
            return refuse("a record crosses the end of the data");
        if (kind == 1 || (kind >= 64 && kind < 128)) {
            printf("position %llu tag %llu kind %s length %llu\n", (unsigned long long)position,
                   (unsigned long long)tag, kind == 1 ? "1" : "64 + n", (unsigned long long)length);
            fwrite(object + offset + 8, 1, length, stdout);
            return 0;
        }
        if (kind != 2)
            return refuse("a record of an unknown kind");
        position += (8 + length + 7) / 8 * 8;
    }
    return refuse("a pad behind a pad");
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    uint64_t bytes = strcmp(arguments[1], "sysv") ? map_posix(arguments[2]) : map_sysv(arguments[2]);
    if (bytes < 4096)
        return refuse("no such object, or a small one");
    if (memcmp(object, "SHMRING\n", 8))
        return refuse("magic");
    uint32_t version = u32_at(8), kind = u32_at(12);
    uint64_t told = u64_at(16), flags = u64_at(56);
    uint64_t capacity = u64_at(64), longest = u64_at(72), data = u64_at(80), data_bytes = u64_at(88);
    if (version != 1 || kind != 1 || flags != 0)
        return refuse("another version, kind or flag");
    if (told > bytes || data != 4096 || data_bytes != capacity || data_bytes > told - data)
        return refuse("geometry");
    if (capacity == 0 || (capacity & (capacity - 1)) || longest != capacity / 2 - 8)
        return refuse("capacity");
    printf("version %u kind %u bytes %llu capacity %llu longest %llu\n", version, kind, (unsigned long long)told,
           (unsigned long long)capacity, (unsigned long long)longest);
    return show_message(capacity);
}
