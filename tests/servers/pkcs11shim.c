/* A PKCS #11 module that hands every call on to another one, and on the way counts it, delays it,
 * holds it up, lets it fail, or falsifies its answer.
 *
 * What it does stands in a file that lies beside it, NAME.so.control, which it maps into memory;
 * a test maps the same file.  So it can be told from another process than the one that signs.
 * tests/servers/pkcs11shim.py knows the layout.
 *
 * No header of PKCS #11 is needed: all functions take at most eight words and return one.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FUNCTIONS 68
#define SIZE 65536
#define HIDDEN 16

typedef unsigned long word;
typedef word (*function)(word, word, word, word, word, word, word, word);

struct functions {
    unsigned char version[2];
    function at[FUNCTIONS];
};

struct one { /* about one function */
    word calls;
    word code;  /* what it returns while `times` is not 0 */
    long times; /* -1: for ever */
    word hangs; /* while this is not 0, a call waits */
    word delay; /* in microseconds */
    word now;   /* calls under way */
    word most;  /* the most that ever were */
    word unused;
};

struct control {
    struct one of[FUNCTIONS];
    word removed;      /* the token is out of its slot */
    word flags;        /* joined to the flags of a token */
    word bare_point;   /* CKA_EC_POINT comes without its prefix */
    word wrong;        /* C_Sign changes a bit of each signature */
    word sessions;     /* the most that the token grants; 0: any number */
    word open;         /* sessions that are open */
    word init_flags;   /* what C_Initialize was called with last */
    word tries;        /* wrong PINs in a row that lock the token; the last try shows; 0: none */
    word hidden_count; /* attributes that are not told: class and type */
    struct {
        word class, type;
    } hidden[HIDDEN];
};

enum { INITIALIZE = 0, GET_SLOT_LIST = 4, GET_TOKEN_INFO = 6, OPEN_SESSION = 12,
       CLOSE_SESSION = 13, CLOSE_ALL_SESSIONS = 14, LOGIN = 18, GET_ATTRIBUTE_VALUE = 24,
       SIGN = 43 };

struct attribute {
    word type;
    unsigned char *value;
    word length;
};

static struct functions *real;
static struct functions ours;
static struct control nothing;
static struct control *control = &nothing;

static word after(int number, word result, word *a) {
    if (number == LOGIN && control->tries)
        control->flags |= result == 0xA0 && --control->tries == 1 ? 0x20000 : 0;
    if (number == GET_TOKEN_INFO && result == 0)
        *(word *)(a[1] + 96) |= control->flags;
    if (number == OPEN_SESSION && result != 0)
        __atomic_sub_fetch(&control->open, 1, __ATOMIC_SEQ_CST);
    if (number == CLOSE_SESSION && result == 0)
        __atomic_sub_fetch(&control->open, 1, __ATOMIC_SEQ_CST);
    if (number == SIGN && result == 0 && control->wrong && a[3])
        ((unsigned char *)a[3])[0] ^= 1;
    return result;
}

static word attribute(word *a) {
    struct attribute *wanted = (struct attribute *)a[2];
    word class = 0, i;
    struct attribute asked = {0, (unsigned char *)&class, sizeof class};
    word result;

    if (control->hidden_count &&
        real->at[GET_ATTRIBUTE_VALUE](a[0], a[1], (word)&asked, 1, 0, 0, 0, 0) == 0)
        for (i = 0; i < control->hidden_count && i < HIDDEN; i++)
            if (control->hidden[i].class == class && control->hidden[i].type == wanted->type) {
                wanted->length = (word)-1;
                return 0x12; /* CKR_ATTRIBUTE_TYPE_INVALID */
            }
    result = real->at[GET_ATTRIBUTE_VALUE](a[0], a[1], a[2], a[3], 0, 0, 0, 0);
    if (result == 0 && control->bare_point && wanted->type == 0x181 && wanted->length == 34) {
        wanted->length = 32;
        if (wanted->value)
            memmove(wanted->value, wanted->value + 2, 32);
    }
    return result;
}

/* A token that is taken out: its sessions are gone for good. */
static int is_out(int number) {
    static const unsigned char with_token[] = {6, 12, 13, 15, 18, 20, 22, 24, 26, 27, 28, 42, 43};
    word slots[64], count = 64, i;

    if (!control->removed)
        return 0;
    if (control->removed == 1) {
        control->removed = 2;
        if (real->at[GET_SLOT_LIST](1, (word)slots, (word)&count, 0, 0, 0, 0, 0) == 0)
            for (i = 0; i < count; i++)
                real->at[CLOSE_ALL_SESSIONS](slots[i], 0, 0, 0, 0, 0, 0, 0);
        control->open = 0;
    }
    return memchr(with_token, number, sizeof with_token) != NULL;
}

static word forward(int number, word *a) {
    if (number == INITIALIZE)
        control->init_flags = a[0] ? ((word *)a[0])[4] : 0;
    if (is_out(number))
        return 0xE0; /* CKR_TOKEN_NOT_PRESENT */
    if (number == GET_SLOT_LIST && control->removed) {
        *(word *)a[2] = 0;
        return 0;
    }
    /* Counted first, so that two at once cannot both be the last one. */
    if (number == OPEN_SESSION &&
        __atomic_add_fetch(&control->open, 1, __ATOMIC_SEQ_CST) > control->sessions &&
        control->sessions)
        return after(number, 0xB1, a); /* CKR_SESSION_COUNT */
    if (number == GET_ATTRIBUTE_VALUE)
        return attribute(a);
    return after(number, real->at[number](a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]), a);
}

static word around(int number, word *a) {
    struct one *one = &control->of[number];
    struct timespec pause = {0, 2000000};
    word now, result;
    long times;

    __atomic_add_fetch(&one->calls, 1, __ATOMIC_SEQ_CST);
    now = __atomic_add_fetch(&one->now, 1, __ATOMIC_SEQ_CST);
    if (now > one->most)
        one->most = now;
    if (one->delay) {
        struct timespec delay = {one->delay / 1000000, one->delay % 1000000 * 1000};
        nanosleep(&delay, NULL);
    }
    while (__atomic_load_n(&one->hangs, __ATOMIC_SEQ_CST))
        nanosleep(&pause, NULL);
    times = __atomic_load_n(&one->times, __ATOMIC_SEQ_CST);
    while (times > 0 && !__atomic_compare_exchange_n(&one->times, &times, times - 1, 0,
                                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    result = times ? one->code : forward(number, a);
    __atomic_sub_fetch(&one->now, 1, __ATOMIC_SEQ_CST);
    return result;
}

#define WRAP(n)                                                                               \
    static word wrapped_##n(word a, word b, word c, word d, word e, word f, word g, word h) { \
        word arguments[] = {a, b, c, d, e, f, g, h};                                          \
        return around(n, arguments);                                                          \
    }
#define EACH(X)                                                                                \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)  \
    X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) X(41) X(42) X(43) X(44) X(45) X(46)  \
    X(47) X(48) X(49) X(50) X(51) X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59) X(60) X(61)  \
    X(62) X(63) X(64) X(65) X(66) X(67)
EACH(WRAP)

#define ENTRY(n) wrapped_##n,
static const function WRAPPED[FUNCTIONS] = {EACH(ENTRY)};

word C_GetFunctionList(struct functions **list);

static void map_control(void) {
    char path[4096];
    Dl_info info;
    void *mapped;
    int file;

    if (!dladdr((void *)C_GetFunctionList, &info))
        return;
    if (snprintf(path, sizeof path, "%s.control", info.dli_fname) >= (int)sizeof path)
        return;
    file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return;
    mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        control = mapped;
}

__attribute__((visibility("default"))) word C_GetFunctionList(struct functions **list) {
    word (*get)(struct functions **);
    void *library;

    if (!real) {
        library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
        get = library ? (word(*)(struct functions **))dlsym(library, "C_GetFunctionList") : NULL;
        if (!get || get(&real) != 0)
            return 5; /* CKR_GENERAL_ERROR */
        memcpy(ours.version, real->version, sizeof ours.version);
        memcpy(ours.at, WRAPPED, sizeof ours.at);
        map_control();
    }
    *list = &ours;
    return 0;
}
