/*
 * An ordered map of bytes whose versions stand beside one another: a balanced (AVL) tree of
 * reference-counted nodes. A change copies the nodes on its path that somebody else sees too and
 * leaves theirs as they are, so holding a version costs one reference and reading it takes no lock.
 *
 * A tree is the pointer to its root, NULL when empty; whoever holds the pointer holds a reference.
 */
#ifndef KMS_MEMORY_TREE_H
#define KMS_MEMORY_TREE_H

#include <kms/backend.h>

struct kms__tree_node;

/*
 * Nodes at hand for the next changes. Filling it is the only step of a change that can fail, and
 * it comes first: so a change is made wholly or not at all. Starts zeroed.
 */
struct kms__tree_stock {
    struct kms__tree_node *first;
    size_t count;
};

/* Another reference to the same version. */
struct kms__tree_node *kms__tree_share(struct kms__tree_node *root);

/* Gives a reference back; what nobody else sees is freed. */
void kms__tree_drop(struct kms__tree_node *root);

/* false: no such record. *value lives as long as the version does. */
bool kms__tree_get(const struct kms__tree_node *root, kms_slice key, kms_slice *value);

/* Up to limit records from `from` on, in order; answers how many. */
size_t kms__tree_scan(const struct kms__tree_node *root, kms_slice from, size_t limit,
                      kms_record *records);

/* Changes the caller's version at *root. Both leave it as it was on KMS_ERR_NO_MEMORY;
 * del answers KMS_ERR_NOT_FOUND, without a sentence, for a record that is not there. */
kms_status kms__tree_put(struct kms__tree_node **root, struct kms__tree_stock *stock, kms_slice key,
                         kms_slice value);
kms_status kms__tree_del(struct kms__tree_node **root, struct kms__tree_stock *stock,
                         kms_slice key);

/* Frees the nodes at hand. */
void kms__tree_stock_free(struct kms__tree_stock *stock);

#endif
