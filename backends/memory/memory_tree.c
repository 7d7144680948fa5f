#include "memory_tree.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* One record's bytes, shared by all nodes that were copied from one another: values may be long. */
struct record {
    atomic_size_t refs;
    size_t key_len;
    size_t value_len;
    unsigned char bytes[]; /* the key, then the value */
};

struct kms__tree_node {
    atomic_size_t refs;
    struct kms__tree_node *left; /* in the stock: the next one */
    struct kms__tree_node *right;
    struct record *record;
    size_t height;
};

typedef struct kms__tree_node node;

/* --- records ------------------------------------------------------------------------------- */

static struct record *record_make(kms_slice key, kms_slice value)
{
    struct record *record = malloc(sizeof *record + key.len + value.len);

    if (record == NULL)
        return NULL;
    atomic_init(&record->refs, 1);
    record->key_len = key.len;
    record->value_len = value.len;
    if (key.len > 0)
        memcpy(record->bytes, key.data, key.len);
    if (value.len > 0)
        memcpy(record->bytes + key.len, value.data, value.len);
    return record;
}

static void record_drop(struct record *record)
{
    if (atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel) == 1)
        free(record);
}

static struct record *record_share(struct record *record)
{
    atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

static kms_slice record_key(const struct record *record)
{
    return (kms_slice){record->bytes, record->key_len};
}

static kms_slice record_value(const struct record *record)
{
    return (kms_slice){record->bytes + record->key_len, record->value_len};
}

/* Unsigned byte order, a prefix before what it begins. */
static int compare(kms_slice a, kms_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* --- versions ------------------------------------------------------------------------------ */

node *kms__tree_share(node *root)
{
    if (root != NULL)
        atomic_fetch_add_explicit(&root->refs, 1, memory_order_relaxed);
    return root;
}

void kms__tree_drop(node *root)
{
    if (root == NULL || atomic_fetch_sub_explicit(&root->refs, 1, memory_order_acq_rel) != 1)
        return;
    kms__tree_drop(root->left);
    kms__tree_drop(root->right);
    record_drop(root->record);
    free(root);
}

bool kms__tree_get(const node *root, kms_slice key, kms_slice *value)
{
    while (root != NULL) {
        int order = compare(key, record_key(root->record));

        if (order == 0) {
            *value = record_value(root->record);
            return true;
        }
        root = order < 0 ? root->left : root->right;
    }
    return false;
}

static void collect(const node *at, kms_slice from, size_t limit, kms_record *records,
                    size_t *count)
{
    for (; at != NULL && *count < limit; at = at->right) {
        kms_slice key = record_key(at->record);

        if (compare(key, from) < 0)
            continue;
        collect(at->left, from, limit, records, count);
        if (*count < limit)
            records[(*count)++] = (kms_record){key, record_value(at->record)};
    }
}

size_t kms__tree_scan(const node *root, kms_slice from, size_t limit, kms_record *records)
{
    size_t count = 0;

    collect(root, from, limit, records, &count);
    return count;
}

/* --- the stock ----------------------------------------------------------------------------- */

static size_t height(const node *at)
{
    return at != NULL ? at->height : 0;
}

static void stock_give(struct kms__tree_stock *stock, node *spare)
{
    spare->left = stock->first;
    stock->first = spare;
    stock->count++;
}

static node *stock_take(struct kms__tree_stock *stock)
{
    node *taken = stock->first;

    stock->first = taken->left;
    stock->count--;
    return taken;
}

/* On every floor of its path a change copies the node itself and, to turn it, a child and a
 * grandchild; a new record may need one node more. */
static bool stock_fill(struct kms__tree_stock *stock, const node *root)
{
    size_t enough = 3 * height(root) + 1;

    while (stock->count < enough) {
        node *spare = malloc(sizeof *spare);

        if (spare == NULL)
            return false;
        stock_give(stock, spare);
    }
    return true;
}

void kms__tree_stock_free(struct kms__tree_stock *stock)
{
    while (stock->count > 0)
        free(stock_take(stock));
}

/* --- changes: nothing below can fail ------------------------------------------------------- */

static node *node_make(struct kms__tree_stock *stock, struct record *record)
{
    node *made = stock_take(stock);

    atomic_init(&made->refs, 1);
    made->left = NULL;
    made->right = NULL;
    made->record = record;
    made->height = 1;
    return made;
}

/* Makes *slot a node that only this version sees, so that it may be changed in place. The nodes
 * above it are the version's own already: a single reference is therefore the slot's. */
static node *own(struct kms__tree_stock *stock, node **slot)
{
    node *seen = *slot;
    node *copy;

    if (atomic_load_explicit(&seen->refs, memory_order_acquire) == 1)
        return seen;
    copy = node_make(stock, record_share(seen->record));
    copy->left = kms__tree_share(seen->left);
    copy->right = kms__tree_share(seen->right);
    copy->height = seen->height;
    kms__tree_drop(seen);
    *slot = copy;
    return copy;
}

static void measure(node *at)
{
    size_t left = height(at->left);
    size_t right = height(at->right);

    at->height = (left > right ? left : right) + 1;
}

static void turn_right(node **slot)
{
    node *down = *slot;
    node *up = down->left;

    down->left = up->right;
    up->right = down;
    measure(down);
    measure(up);
    *slot = up;
}

static void turn_left(node **slot)
{
    node *down = *slot;
    node *up = down->right;

    down->right = up->left;
    up->left = down;
    measure(down);
    measure(up);
    *slot = up;
}

/* Restores height and balance of the owned node at *slot, whose subtrees are balanced and differ
 * by two at most. */
static void balance(struct kms__tree_stock *stock, node **slot)
{
    node *at = *slot;

    if (height(at->left) > height(at->right) + 1) {
        node *left = own(stock, &at->left);

        if (height(left->right) > height(left->left)) {
            own(stock, &left->right);
            turn_left(&at->left);
        }
        turn_right(slot);
    } else if (height(at->right) > height(at->left) + 1) {
        node *right = own(stock, &at->right);

        if (height(right->left) > height(right->right)) {
            own(stock, &right->left);
            turn_right(&at->right);
        }
        turn_left(slot);
    } else {
        measure(at);
    }
}

static void insert(struct kms__tree_stock *stock, node **slot, struct record *record)
{
    node *at;
    int order;

    if (*slot == NULL) {
        *slot = node_make(stock, record);
        return;
    }
    at = own(stock, slot);
    order = compare(record_key(record), record_key(at->record));
    if (order == 0) {
        record_drop(at->record);
        at->record = record;
        return;
    }
    insert(stock, order < 0 ? &at->left : &at->right, record);
    balance(stock, slot);
}

/* The owned node at *slot has at most one child: that one takes its place. */
static void unhook(node **slot)
{
    node *gone = *slot;

    *slot = gone->left != NULL ? gone->left : gone->right;
    record_drop(gone->record);
    free(gone);
}

static const node *leftmost(const node *at)
{
    while (at->left != NULL)
        at = at->left;
    return at;
}

/* key is there. */
static void take_out(struct kms__tree_stock *stock, node **slot, kms_slice key)
{
    node *at;
    int order;

    if (*slot == NULL)
        return;
    at = own(stock, slot);
    order = compare(key, record_key(at->record));
    if (order < 0) {
        take_out(stock, &at->left, key);
    } else if (order > 0) {
        take_out(stock, &at->right, key);
    } else if (at->left == NULL || at->right == NULL) {
        unhook(slot);
        return;
    } else {
        struct record *next = record_share(leftmost(at->right)->record);

        record_drop(at->record);
        at->record = next;
        take_out(stock, &at->right, record_key(next));
    }
    balance(stock, slot);
}

static kms_status no_memory(void)
{
    return kms_set_error(KMS_ERR_NO_MEMORY, "memory store: no memory is left for the record");
}

kms_status kms__tree_put(node **root, struct kms__tree_stock *stock, kms_slice key, kms_slice value)
{
    struct record *record;

    if (!stock_fill(stock, *root))
        return no_memory();
    record = record_make(key, value);
    if (record == NULL)
        return no_memory();
    insert(stock, root, record);
    return KMS_OK;
}

kms_status kms__tree_del(node **root, struct kms__tree_stock *stock, kms_slice key)
{
    kms_slice value;

    if (!kms__tree_get(*root, key, &value))
        return KMS_ERR_NOT_FOUND;
    if (!stock_fill(stock, *root))
        return no_memory();
    take_out(stock, root, key);
    return KMS_OK;
}
