/* A program that knows nothing of this library, only shm_open. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int reverse(const char *name)
{
    struct stat stat;
    unsigned long long sum = 0;
    int file = shm_open(name, O_RDWR, 0);
    if (file < 0 || fstat(file, &stat) < 0)
        return 1;
    unsigned char *bytes = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (bytes == MAP_FAILED)
        return 1;
    for (off_t i = 0; i < stat.st_size; i++)
        sum = sum * 31 + bytes[i];
    for (off_t i = 0; i < stat.st_size / 2; i++) {
        unsigned char byte = bytes[i];
        bytes[i] = bytes[stat.st_size - 1 - i];
        bytes[stat.st_size - 1 - i] = byte;
    }
    printf("%lld %llu\n", (long long)stat.st_size, sum);
    return 0;
}

static int make(const char *name)
{
    int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    return file < 0 || ftruncate(file, 8192) < 0;
}

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    if (!strcmp(arguments[1], "reverse"))
        return reverse(arguments[2]);
    if (!strcmp(arguments[1], "make"))
        return make(arguments[2]);
    return shm_unlink(arguments[2]) < 0;
}
