/* The optional accelerator: relaxed and simple canonicalization (RFC 6376 section 3.4).
 *
 * dkimcore.protocol.canonical and dkimcore.protocol.message hold the same in Python. That is the
 * reference: what differs here is a fault here. docs/adr/0017-optional-c-accelerator.md says what
 * this file may hold and how the two are kept equal.
 *
 * Octets are looked at 64 at a time. A bit mask of a block says where its white space and line
 * ends are, a few operations on masks say which octets go, and no block takes much longer than
 * another: so a hostile body is about as fast as any.
 *
 * Nothing is read but bytes objects, which cannot change. Buffers are written at most ROOM octets
 * behind what they hold, and are that much larger. The GIL is kept: a piece takes some 40 us.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) && !defined(DKIMCORE_SCALAR)
#include <emmintrin.h>
#define USE_SSE2 1
#endif

/* protocol/speedups.py leaves alone what was built for another interface. */
#define INTERFACE 1

#define BLOCK 64
#define AHEAD 3 /* octets behind a block that its masks depend on */
#define ROOM BLOCK /* whole blocks are written, of which only the first octets may count */
#define ALL (~(uint64_t)0)

/* A large chunk is canonicalized in pieces that stay in a processor's second cache; as many
 * octets of empty lines are given out at once. */
#define PIECE 65536

/* No sum or product of sizes made here overflows for anything smaller. */
#define TOO_LARGE(size) ((size) > PY_SSIZE_T_MAX / 2 - 2 * BLOCK)

static inline uint64_t
is_wsp(uint8_t octet)
{
    return (octet == ' ') | (octet == '\t'); /* section 2.8 */
}

/* --- Masks: bit n stands for octet n of a block ----------------------------------------- */

#ifdef USE_SSE2

typedef struct {
    __m128i part[4];
} Block;

static inline Block
load(const uint8_t *octets)
{
    Block block;
    for (int n = 0; n < 4; n++)
        block.part[n] = _mm_loadu_si128((const __m128i *)(octets + 16 * n));
    return block;
}

static inline uint64_t
equal(const Block *block, char octet)
{
    const __m128i sought = _mm_set1_epi8(octet);
    uint64_t mask = 0;
    for (int n = 0; n < 4; n++) {
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(block->part[n], sought));
        mask |= (uint64_t)(uint32_t)found << (16 * n);
    }
    return mask;
}

static inline void
store_with_spaces(const Block *block, uint8_t *out)
{
    const __m128i tab = _mm_set1_epi8('\t'), change = _mm_set1_epi8('\t' ^ ' ');
    for (int n = 0; n < 4; n++) {
        __m128i part = block->part[n];
        __m128i changed = _mm_and_si128(_mm_cmpeq_epi8(part, tab), change);
        _mm_storeu_si128((__m128i *)(out + 16 * n), _mm_xor_si128(part, changed));
    }
}

#else

typedef struct {
    uint64_t word[8]; /* the first octet is the lowest of the first word */
} Block;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

static inline uint64_t
get_word(const uint8_t *octets)
{
    uint64_t word;
    memcpy(&word, octets, 8);
    return word;
}

static inline void
put_word(uint64_t word, uint8_t *out)
{
    memcpy(out, &word, 8);
}

#else

static inline uint64_t
get_word(const uint8_t *octets)
{
    uint64_t word = 0;
    for (int n = 0; n < 8; n++)
        word |= (uint64_t)octets[n] << (8 * n);
    return word;
}

static inline void
put_word(uint64_t word, uint8_t *out)
{
    for (int n = 0; n < 8; n++)
        out[n] = (uint8_t)(word >> (8 * n));
}

#endif

static inline Block
load(const uint8_t *octets)
{
    Block block;
    for (int n = 0; n < 8; n++)
        block.word[n] = get_word(octets + 8 * n);
    return block;
}

#define EACH(octet) (UINT64_C(0x0101010101010101) * (octet))

/* 0x80 in each octet of the word that is the one sought, 0 in the others. */
static inline uint64_t
equal_in_word(uint64_t word, uint8_t octet)
{
    uint64_t other = word ^ EACH(octet);
    return ~(((other & EACH(0x7f)) + EACH(0x7f)) | other | EACH(0x7f));
}

static inline uint64_t
equal(const Block *block, char octet)
{
    uint64_t mask = 0;
    for (int n = 0; n < 8; n++) {
        uint64_t found = equal_in_word(block->word[n], (uint8_t)octet) >> 7;
        mask |= (found * UINT64_C(0x0102040810204080)) >> 56 << (8 * n);
    }
    return mask;
}

static inline void
store_with_spaces(const Block *block, uint8_t *out)
{
    for (int n = 0; n < 8; n++) {
        uint64_t tabs = equal_in_word(block->word[n], '\t') >> 7;
        put_word(block->word[n] ^ (tabs * ('\t' ^ ' ')), out + 8 * n);
    }
}

#endif

/* The masks of the octets that stand one and two places further on. */
static inline uint64_t
one_on(uint64_t mask, uint64_t ahead)
{
    return mask >> 1 | ahead << 63;
}

static inline uint64_t
two_on(uint64_t mask, uint64_t ahead, uint64_t further)
{
    return mask >> 2 | ahead << 62 | further << 63;
}

static inline uint64_t
first(size_t count)
{
    return count < BLOCK ? ((uint64_t)1 << count) - 1 : ALL;
}

/* Write the octets of a block that are kept, HTAB as SP; returns how many. */
static inline size_t
give(const Block *block, uint64_t kept, uint8_t *out)
{
    uint8_t octets[2 * BLOCK], *next = out;

    if (kept == ALL) {
        store_with_spaces(block, out);
        return BLOCK;
    }
    if (!kept)
        return 0;
    store_with_spaces(block, octets);
#if defined(__GNUC__)
    /* Few runs, as in indented text: run by run, and a whole block each time. */
    if (__builtin_popcountll(kept & ~(kept << 1)) <= 4) {
        memset(octets + BLOCK, 0, BLOCK);
        while (kept) {
            int start = __builtin_ctzll(kept);
            uint64_t behind = ~(kept >> start); /* 0 only if start is 0 and ALL are kept */
            int length = __builtin_ctzll(behind);
            memcpy(next, octets + start, BLOCK);
            next += length;
            kept &= kept + ((uint64_t)1 << start); /* the lowest run is gone */
        }
        return (size_t)(next - out);
    }
#pragma GCC unroll 16
#endif
    for (int n = 0; n < BLOCK; n++) {
        *next = octets[n];
        next += kept & 1;
        kept >>= 1;
    }
    return (size_t)(next - out);
}

/* Where to read a block: where it is, or in `spare` when too little stands behind it. */
static inline const uint8_t *
block_at(const uint8_t *octets, size_t position, size_t size, uint8_t *spare)
{
    size_t rest = size - position;
    if (rest >= BLOCK + AHEAD)
        return octets + position;
    memset(spare, 0, BLOCK + AHEAD + 2);
    memcpy(spare, octets + position, rest);
    return spare;
}

/* --- Bodies ------------------------------------------------------------------------------ */

/* The white space of a block that goes: in front of more of it, and in front of CRLF. */
static inline uint64_t
dropped(const uint8_t *at, const Block *block, uint64_t wsp)
{
    uint64_t before_wsp = one_on(wsp, is_wsp(at[BLOCK]));
    uint64_t before_cr = one_on(equal(block, '\r'), at[BLOCK] == '\r');
    uint64_t before_lf = two_on(equal(block, '\n'), at[BLOCK] == '\n', at[BLOCK + 1] == '\n');
    return wsp & (before_wsp | (before_cr & before_lf));
}

/* How many octets from the start need no change: whole blocks, or all up to `end`. */
static size_t
unchanged(const uint8_t *octets, size_t end, size_t size)
{
    uint8_t spare[BLOCK + AHEAD + 2];
    size_t position;

    for (position = 0; position < end; position += BLOCK) {
        const uint8_t *at = block_at(octets, position, size, spare);
        const Block block = load(at);
        uint64_t tab = equal(&block, '\t'), wsp = tab | equal(&block, ' ');
        if (wsp && ((tab | dropped(at, &block, wsp)) & first(end - position)))
            return position;
    }
    return end;
}

/* Reduce white space from a position up to `end`; what follows up to `size` is looked at. */
static size_t
reduce(const uint8_t *octets, size_t position, size_t end, size_t size, uint8_t *out)
{
    uint8_t spare[BLOCK + AHEAD + 2];
    uint8_t *next = out;

    for (; position < end; position += BLOCK) {
        const uint8_t *at = block_at(octets, position, size, spare);
        const Block block = load(at);
        uint64_t wsp = equal(&block, '\t') | equal(&block, ' '), kept = ALL;
        if (wsp)
            kept = ~dropped(at, &block, wsp);
        if (end - position < BLOCK) {
            next += give(&block, kept & first(end - position), next);
            break;
        }
        next += give(&block, kept, next);
    }
    return (size_t)(next - out);
}

typedef struct {
    PyObject_HEAD
    PyObject *sink;     /* NULL when the body is finished */
    size_t empty_lines; /* CRLFs not yet given out */
    char relaxed;
    char held_sp, held_cr; /* their meaning depends on the next octet */
    char any;              /* whether octets other than these CRLFs have been given out */
    char line_ended;       /* whether the last of them were a CRLF */
} Body;

static int
sink(Body *self, PyObject *octets)
{
    PyObject *receiver = self->sink, *returned;

    if (!receiver)
        return 0;
    Py_INCREF(receiver);
    returned = PyObject_CallFunctionObjArgs(receiver, octets, NULL);
    Py_DECREF(receiver);
    Py_XDECREF(returned);
    return returned ? 0 : -1;
}

static int
sink_copy(Body *self, const uint8_t *octets, size_t size)
{
    PyObject *copy = PyBytes_FromStringAndSize((const char *)octets, (Py_ssize_t)size);
    int status = copy ? sink(self, copy) : -1;

    Py_XDECREF(copy);
    return status;
}

static int
give_out_empty_lines(Body *self)
{
    while (self->empty_lines) {
        size_t lines = self->empty_lines < PIECE / 2 ? self->empty_lines : PIECE / 2;
        PyObject *octets = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(2 * lines));
        char *next = octets ? PyBytes_AsString(octets) : NULL;
        int status;
        if (!next)
            return -1;
        for (size_t n = 0; n < lines; n++)
            memcpy(next + 2 * n, "\r\n", 2);
        self->empty_lines -= lines;
        status = sink(self, octets);
        Py_DECREF(octets);
        if (status)
            return -1;
    }
    return 0;
}

/* Split canonical octets into what is given out now and empty lines that are held back; the
 * CRLF that ends a line with content is no empty line. Returns the length of the former. */
static size_t
hold_back_empty_lines(Body *self, const uint8_t *octets, size_t size, size_t *lines)
{
    size_t content = size;

    while (content >= 16 && !memcmp(octets + content - 16, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", 16))
        content -= 16;
    while (content >= 2 && octets[content - 2] == '\r' && octets[content - 1] == '\n')
        content -= 2;
    *lines = (size - content) / 2;
    if (!content)
        return 0;
    self->any = 1;
    self->line_ended = *lines > 0;
    if (*lines) {
        *lines -= 1;
        content += 2;
    }
    return content;
}

/* Decide upon what was held back, now that an octet follows it. Returns how many octets of
 * `lead` come first, or -1 when it is still undecided. */
static int
release(Body *self, const uint8_t *octets, size_t size, uint8_t *lead)
{
    int count = 0, cr = self->held_cr, sp = self->held_sp;

    if (!cr && !sp)
        return 0;
    if (cr) {
        sp = sp && octets[0] != '\n';
    } else if (octets[0] == '\r') {
        if (size == 1) {
            self->held_cr = 1;
            return -1;
        }
        sp = octets[1] != '\n';
    } else {
        sp = !is_wsp(octets[0]);
    }
    if (sp)
        lead[count++] = ' ';
    if (cr)
        lead[count++] = '\r';
    self->held_cr = self->held_sp = 0;
    return count;
}

/* Canonicalize octets; `whole` is the object that is just these, or NULL. */
static int
feed_piece(Body *self, PyObject *whole, const uint8_t *octets, size_t size)
{
    uint8_t lead[2], *buffer = NULL;
    const uint8_t *made = octets;
    size_t end = size, length, leading, given, lines;
    int status, released;

    if (!size)
        return 0;
    released = release(self, octets, size, lead);
    if (released < 0)
        return 0;
    leading = (size_t)released;
    if (octets[end - 1] == '\r') {
        self->held_cr = 1;
        end--;
    }
    if (self->relaxed && end && is_wsp(octets[end - 1])) {
        self->held_sp = 1;
        end--;
    }
    length = self->relaxed ? unchanged(octets, end, size) : end;
    if (length < end || leading) {
        buffer = PyMem_Malloc(leading + end + ROOM);
        if (!buffer) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(buffer, lead, leading);
        memcpy(buffer + leading, octets, length);
        length += reduce(octets, length, end, size, buffer + leading + length);
        length += leading;
        made = buffer;
    }
    given = hold_back_empty_lines(self, made, length, &lines);
    if (!given) {
        self->empty_lines += lines;
        PyMem_Free(buffer);
        return 0;
    }
    status = give_out_empty_lines(self);
    self->empty_lines = lines;
    if (!status)
        status = made == octets && whole && given == size ? sink(self, whole)
                                                          : sink_copy(self, made, given);
    PyMem_Free(buffer);
    return status;
}

PyDoc_STRVAR(feed_doc, "feed($self, chunk, /)\n--\n\nCanonicalize the next octets of the body.");

static PyObject *
Body_feed(Body *self, PyObject *chunk)
{
    char *octets;
    Py_ssize_t length;
    size_t size;

    if (PyBytes_AsStringAndSize(chunk, &octets, &length))
        return NULL;
    if (TOO_LARGE(length))
        return PyErr_NoMemory();
    size = (size_t)length;
    /* Nothing is copied for simple, so a large chunk stays whole. */
    if (size <= PIECE || !self->relaxed) {
        if (feed_piece(self, PyBytes_CheckExact(chunk) ? chunk : NULL, (uint8_t *)octets, size))
            return NULL;
        Py_RETURN_NONE;
    }
    for (size_t start = 0; start < size; start += PIECE) {
        size_t left = size - start;
        if (feed_piece(self, NULL, (uint8_t *)octets + start, left < PIECE ? left : PIECE))
            return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(finish_doc,
             "finish($self, /)\n--\n\n"
             "End the body: ignore empty lines at its end, complete its last line.");

static PyObject *
Body_finish(Body *self, PyObject *Py_UNUSED(ignored))
{
    if (self->held_cr) { /* a SP without a CR is white space at the end of the last line */
        const uint8_t rest[2] = {' ', '\r'};
        size_t skipped = self->held_sp ? 0 : 1;
        if (give_out_empty_lines(self) || sink_copy(self, rest + skipped, 2 - skipped))
            return NULL;
        self->any = 1;
        self->line_ended = 0;
    }
    /* An empty body is one CRLF in simple and nothing in relaxed (sections 3.4.3, 3.4.4). */
    if (self->any ? !self->line_ended : !self->relaxed)
        if (sink_copy(self, (const uint8_t *)"\r\n", 2))
            return NULL;
    /* Most sinks own their canonicalizer: without this, each would be left to the collector. */
    Py_CLEAR(self->sink);
    Py_RETURN_NONE;
}

static PyObject *
Body_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"canonicalization", "sink", NULL};
    PyObject *canonicalization, *receiver;
    Body *self;

    if (!PyArg_ParseTupleAndKeywords(arguments, named, "UO:BodyCanonicalizer", names,
                                     &canonicalization, &receiver))
        return NULL;
    self = (Body *)PyType_GenericAlloc(type, 0); /* all zero */
    if (!self)
        return NULL;
    self->relaxed = PyUnicode_CompareWithASCIIString(canonicalization, "relaxed") == 0;
    Py_INCREF(receiver);
    self->sink = receiver;
    return (PyObject *)self;
}

static int
Body_traverse(Body *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->sink);
    return 0;
}

static int
Body_clear(Body *self)
{
    Py_CLEAR(self->sink);
    return 0;
}

static void
Body_dealloc(Body *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->sink);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(body_doc,
             "BodyCanonicalizer(canonicalization, sink)\n--\n\n"
             "Canonicalizes a body that arrives in chunks; see dkimcore.protocol.canonical.");

static PyMethodDef Body_methods[] = {
    {"feed", (PyCFunction)Body_feed, METH_O, feed_doc},
    {"finish", (PyCFunction)Body_finish, METH_NOARGS, finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Body_slots[] = {
    {Py_tp_doc, (void *)body_doc},
    {Py_tp_new, (void *)Body_new},
    {Py_tp_traverse, (void *)Body_traverse},
    {Py_tp_clear, (void *)Body_clear},
    {Py_tp_dealloc, (void *)Body_dealloc},
    {Py_tp_methods, Body_methods},
    {0, NULL},
};

static PyType_Spec Body_spec = {
    .name = "dkimcore._speedups.BodyCanonicalizer",
    .basicsize = sizeof(Body),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Body_slots,
};

/* --- Headers ----------------------------------------------------------------------------- */

/* Unfold, reduce white space, remove it in front of each CRLF and at the end (section 3.4.2).
 *
 * `out` has room for size + ROOM octets. Sets `bare` when a CR or LF is not part of a CRLF. */
static size_t
unfold(const uint8_t *octets, size_t size, uint8_t *out, int *bare)
{
    uint8_t spare[BLOCK + AHEAD + 2], *next = out;
    uint64_t after_cr = 0, after_fold = 0, alone = 0; /* carried from block to block */

    for (size_t position = 0; position < size; position += BLOCK) {
        size_t rest = size - position;
        const uint8_t *at = block_at(octets, position, size, spare);
        if (at == spare) /* the end of the header is that of a field */
            memcpy(spare + rest, "\r\n", 2);
        const Block block = load(at);
        const uint8_t *ahead = at + BLOCK;
        uint64_t wsp = equal(&block, '\t') | equal(&block, ' ');
        uint64_t cr = equal(&block, '\r'), lf = equal(&block, '\n');
        uint64_t before_lf = one_on(lf, ahead[0] == '\n');
        /* A CRLF in front of WSP is white space, too. */
        uint64_t fold = cr & before_lf & two_on(wsp, is_wsp(ahead[0]), is_wsp(ahead[1]));
        uint64_t white = wsp | fold | fold << 1 | after_fold;
        uint64_t white_ahead = fold >> 63 | is_wsp(ahead[0]) |
                               ((ahead[0] == '\r') & (ahead[1] == '\n') & is_wsp(ahead[2]));
        uint64_t before_crlf = one_on(cr, ahead[0] == '\r') &
                               two_on(lf, ahead[0] == '\n', ahead[1] == '\n');
        uint64_t kept = ~(white & (one_on(white, white_ahead) | before_crlf));
        alone |= ((cr & ~before_lf) | (lf & ~(cr << 1 | after_cr))) & first(rest);
        next += give(&block, kept & first(rest), next);
        after_cr = cr >> 63;
        after_fold = fold >> 63;
    }
    *bare = alone != 0;
    return (size_t)(next - out);
}

/* Where the CRLF that ends a line of octets stands; `end` when there is none. */
static const uint8_t *
line_end(const uint8_t *start, const uint8_t *end)
{
    const uint8_t *from = start;

    while (from < end) {
        const uint8_t *lf = memchr(from, '\n', (size_t)(end - from));
        if (!lf)
            break;
        if (lf > start && lf[-1] == '\r')
            return lf - 1;
        from = lf + 1;
    }
    return end;
}

static inline void
lower(uint8_t *octets, size_t size)
{
    for (size_t n = 0; n < size; n++)
        octets[n] |= (uint8_t)(((uint8_t)(octets[n] - 'A') < 26) << 5);
}

/* Enter a field into the index: name -> its positions. Returns -1 with an exception set. */
static int
enter(PyObject *index, PyObject *name, Py_ssize_t position)
{
    PyObject *number = PyLong_FromSsize_t(position), *positions;
    int status = -1;

    if (!number)
        return -1;
    positions = PyDict_GetItemWithError(index, name); /* borrowed */
    if (positions) {
        status = PyList_Append(positions, number);
        Py_DECREF(number);
        return status;
    }
    positions = PyErr_Occurred() ? NULL : PyList_New(1);
    if (!positions) {
        Py_DECREF(number);
        return -1;
    }
    PyList_SetItem(positions, 0, number); /* takes the reference */
    status = PyDict_SetItem(index, name, positions);
    Py_DECREF(positions);
    return status;
}

/* Make the canonical form of one unfolded and reduced field, and enter its name. */
static PyObject *
canonical_field(uint8_t *field, const uint8_t *end, PyObject *index, Py_ssize_t position)
{
    uint8_t *colon = memchr(field, ':', (size_t)(end - field)), *out;
    const uint8_t *value;
    size_t name_size, value_size;
    PyObject *name, *made;

    if (!colon) /* an opaque line */
        return PyBytes_FromStringAndSize((const char *)field, end - field);
    value = colon + 1;
    if (value < end && *value == ' ') /* there is no more than one */
        value++;
    value_size = (size_t)(end - value);
    if (colon > field && colon[-1] == ' ')
        colon--;
    name_size = (size_t)(colon - field);
    lower(field, name_size);
    name = PyBytes_FromStringAndSize((const char *)field, (Py_ssize_t)name_size);
    if (!name)
        return NULL;
    made = enter(index, name, position)
               ? NULL
               : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(name_size + 1 + value_size));
    Py_DECREF(name);
    out = made ? (uint8_t *)PyBytes_AsString(made) : NULL;
    if (!out)
        return NULL;
    memcpy(out, field, name_size);
    out[name_size] = ':';
    memcpy(out + name_size + 1, value, value_size);
    return made;
}

static int
append(PyObject *list, PyObject *item)
{
    int status = item ? PyList_Append(list, item) : -1;

    Py_XDECREF(item);
    return status;
}

/* Divide reduced octets into fields. */
static int
divide(uint8_t *start, const uint8_t *end, PyObject *fields, PyObject *index)
{
    for (Py_ssize_t position = 0;; position++) {
        const uint8_t *border = line_end(start, end);
        if (append(fields, canonical_field(start, border, index, position)))
            return -1;
        if (border == end)
            return 0;
        start += (border - start) + 2;
    }
}

PyDoc_STRVAR(parse_fields_doc,
             "parse_fields($module, octets, /)\n--\n\n"
             "Return a header's relaxed fields, the positions of each name, and whether it holds\n"
             "a bare CR or LF.");

static PyObject *
parse_fields(PyObject *Py_UNUSED(module), PyObject *header)
{
    char *octets;
    Py_ssize_t size;
    uint8_t *reduced;
    PyObject *fields, *index, *found = NULL;
    int bare = 0;

    if (PyBytes_AsStringAndSize(header, &octets, &size))
        return NULL;
    if (TOO_LARGE(size))
        return PyErr_NoMemory();
    reduced = PyMem_Malloc((size_t)size + ROOM);
    fields = PyList_New(0);
    index = PyDict_New();
    if (!reduced)
        PyErr_NoMemory();
    else if (fields && index) {
        size_t length = unfold((const uint8_t *)octets, (size_t)size, reduced, &bare);
        if (!size || !divide(reduced, reduced + length, fields, index))
            found = PyTuple_Pack(3, fields, index, bare ? Py_True : Py_False);
    }
    PyMem_Free(reduced);
    Py_XDECREF(fields);
    Py_XDECREF(index);
    return found;
}

PyDoc_STRVAR(split_fields_doc,
             "split_fields($module, octets, /)\n--\n\n"
             "Return a header's fields as they are, with folds and without final CRLFs.");

static PyObject *
split_fields(PyObject *Py_UNUSED(module), PyObject *header)
{
    char *octets;
    Py_ssize_t size;
    const uint8_t *start, *from, *end;
    PyObject *fields;

    if (PyBytes_AsStringAndSize(header, &octets, &size))
        return NULL;
    fields = PyList_New(0);
    if (!fields || !size)
        return fields;
    start = from = (const uint8_t *)octets;
    end = start + size;
    for (;;) {
        const uint8_t *border = line_end(from, end);
        if (end - border > 2 && is_wsp(border[2])) { /* a fold */
            from = border + 2;
            continue;
        }
        if (append(fields, PyBytes_FromStringAndSize((const char *)start, border - start))) {
            Py_DECREF(fields);
            return NULL;
        }
        if (border == end)
            return fields;
        start = from = border + 2;
    }
}

/* Copy octets without each CRLF; what then stands together is not looked at again. */
static size_t
without_line_ends(const uint8_t *octets, size_t size, uint8_t *out)
{
    const uint8_t *end = octets + size;
    size_t length = 0;

    for (;;) {
        const uint8_t *border = line_end(octets, end);
        memcpy(out + length, octets, (size_t)(border - octets));
        length += (size_t)(border - octets);
        if (border == end)
            return length;
        octets = border + 2;
    }
}

/* Make a relaxed field of its octets without line ends; `out` has room for size + ROOM. */
static size_t
relax(uint8_t *octets, size_t size, uint8_t *out)
{
    uint8_t *colon = memchr(octets, ':', size);
    size_t name = colon ? (size_t)(colon - octets) : size, value, length;
    uint8_t *start;

    value = colon ? name + 1 : size;
    while (name && is_wsp(octets[name - 1]))
        name--;
    lower(octets, name);
    memcpy(out, octets, name);
    if (!colon)
        return name;
    out[name++] = ':';
    start = out + name;
    length = reduce(octets + value, 0, size - value, size - value, start);
    if (length && start[length - 1] == ' ')
        length--;
    if (length && *start == ' ')
        memmove(start, start + 1, --length);
    return name + length;
}

PyDoc_STRVAR(relax_field_doc,
             "relax_field($module, raw, /)\n--\n\nReturn the relaxed form of one field.");

static PyObject *
relax_field(PyObject *Py_UNUSED(module), PyObject *raw)
{
    char *octets;
    Py_ssize_t size;
    uint8_t *unfolded, *relaxed;
    size_t length;

    if (PyBytes_AsStringAndSize(raw, &octets, &size))
        return NULL;
    if (TOO_LARGE(size))
        return PyErr_NoMemory();
    unfolded = PyMem_Malloc(2 * (size_t)size + ROOM);
    if (!unfolded)
        return PyErr_NoMemory();
    relaxed = unfolded + size;
    length = without_line_ends((const uint8_t *)octets, (size_t)size, unfolded);
    length = relax(unfolded, length, relaxed);
    raw = PyBytes_FromStringAndSize((const char *)relaxed, (Py_ssize_t)length);
    PyMem_Free(unfolded);
    return raw;
}

/* --- Module ------------------------------------------------------------------------------ */

static int
prepare(PyObject *module)
{
    /* Here and not in Python, because the protocol's modules import nothing of the system. */
    const char *off = getenv("DKIMCORE_NO_SPEEDUPS");
    PyObject *body;
    int status;

    if (off && *off && strcmp(off, "0") != 0) {
        PyErr_SetString(PyExc_ImportError, "turned off by DKIMCORE_NO_SPEEDUPS");
        return -1;
    }
    body = PyType_FromModuleAndSpec(module, &Body_spec, NULL);
    status = body ? PyModule_AddType(module, (PyTypeObject *)body) : -1;
    Py_XDECREF(body);
    return status ? status : PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyMethodDef functions[] = {
    {"parse_fields", parse_fields, METH_O, parse_fields_doc},
    {"relax_field", relax_field, METH_O, relax_field_doc},
    {"split_fields", split_fields, METH_O, split_fields_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)prepare},
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "dkimcore._speedups",
    .m_doc = "Canonicalization in C; dkimcore.protocol.canonical says what it does.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
