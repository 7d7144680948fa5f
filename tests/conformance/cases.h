/* Every case, in the order in which it runs. A case's name is the promise that it checks. */
#ifndef KMS_CONFORMANCE_CASES_H
#define KMS_CONFORMANCE_CASES_H

#include "trial.h"

#define CASES(X)                                                                                   \
    X(the_engine_states_its_abi_and_all_its_functions)                                             \
    X(an_empty_store_holds_nothing)                                                                \
    X(a_record_comes_back_as_it_was_put)                                                           \
    X(get_of_an_absent_record_answers_not_found)                                                   \
    X(put_replaces_an_older_record)                                                                \
    X(put_copies_key_and_value)                                                                    \
    X(a_removed_record_is_gone)                                                                    \
    X(del_of_an_absent_record_answers_not_found)                                                   \
    X(keys_order_as_unsigned_bytes)                                                                \
    X(a_prefix_stands_before_what_it_begins)                                                       \
    X(scan_starts_at_from_or_after_it)                                                             \
    X(scan_stops_at_its_limit)                                                                     \
    X(scan_pages_through_many_records)                                                             \
    X(scan_shows_own_writes_and_removals)                                                          \
    X(keys_may_have_every_length_up_to_the_longest)                                                \
    X(values_may_have_every_size_up_to_the_largest)                                                \
    X(an_empty_value_is_a_record)                                                                  \
    X(the_largest_transaction_fits)                                                                \
    X(slices_last_until_the_next_call)                                                             \
    X(random_changes_match_a_model)                                                                \
    X(a_transaction_sees_its_own_writes)                                                           \
    X(a_transaction_sees_no_write_of_an_open_one)                                                  \
    X(reads_repeat_while_others_commit)                                                            \
    X(a_snapshot_outlives_many_commits)                                                            \
    X(a_commit_is_seen_by_the_next_begin)                                                          \
    X(an_abort_leaves_no_trace)                                                                    \
    X(a_read_transaction_may_be_committed)                                                         \
    X(a_commit_leads_to_a_larger_revision)                                                         \
    X(the_revision_of_a_quiet_store_stays)                                                         \
    X(equal_revisions_show_equal_content)                                                          \
    X(the_hint_equals_the_revision_of_a_quiet_store)                                               \
    X(the_hint_is_never_behind_an_acknowledged_commit)                                             \
    X(a_snapshot_is_never_half_of_a_commit)                                                        \
    X(the_hint_keeps_up_with_another_thread)                                                       \
    X(two_hundred_snapshots_may_be_open_at_once)                                                   \
    X(a_reader_does_not_wait_for_a_writer)                                                         \
    X(a_writer_does_not_wait_for_a_reader)                                                         \
    X(a_second_writer_that_may_not_wait_is_told_at_once)                                           \
    X(a_writer_of_another_handle_is_told_at_once_too)                                              \
    X(the_busy_timeout_is_kept)                                                                    \
    X(a_writer_waits_for_the_one_before_it)                                                        \
    X(a_writer_that_ended_leaves_the_way_free)                                                     \
    X(two_threads_lose_no_increment)                                                               \
    X(two_handles_lose_no_increment)                                                               \
    X(writes_of_many_threads_are_all_kept)                                                         \
    X(open_of_nothing_answers_not_found)                                                           \
    X(open_of_nothing_makes_nothing_and_may_be_followed_by_create)                                 \
    X(create_makes_exactly_these_records)                                                          \
    X(create_copies_its_records)                                                                   \
    X(a_made_store_can_be_written_at_once)                                                         \
    X(an_engine_may_be_closed_at_any_point_of_its_life)                                            \
    X(two_places_are_two_stores)                                                                   \
    X(a_store_keeps_its_records_when_it_is_closed)                                                 \
    X(create_leaves_a_store_that_is_there_as_it_is)                                                \
    X(a_commit_is_seen_by_every_handle)                                                            \
    X(the_hint_of_every_handle_keeps_up)                                                           \
    X(the_hint_of_a_store_opened_anew_is_right)                                                    \
    X(a_snapshot_outlives_commits_of_another_handle)                                               \
    X(a_store_opened_for_reading_refuses_writers)                                                  \
    X(open_of_nothing_for_reading_answers_not_found)                                               \
    X(a_store_that_nobody_writes_can_be_read_frozen)                                               \
    X(of_many_starters_one_makes_the_store)                                                        \
    X(a_new_store_is_seen_whole_or_not_at_all)

#define CASE_DECLARATION(name) void kms__case_##name(trial *t);
CASES(CASE_DECLARATION)
#undef CASE_DECLARATION

#endif
