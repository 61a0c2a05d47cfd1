// Package notify tells people and programs outside what happened: a chat, a mailbox,
// a pager, a webhook. Each channel is a reader of the audit log with a cursor of its
// own; there is no other queue.
//
//	log ──records──► concerns ──► what it is now ──Render──► Message ──encode──► channel
//	        cursor        one message per subject        pure        pure
//
// Two kinds of channel: one tells of a subject (a request, a trouble) in one message,
// which follows it; the other, the webhook, hands on the records themselves, in order.
//
// Invariants, each held by a test:
//
//  1. Nothing here is waited for by what it tells of: a channel that is down keeps
//     its place, says so once, and delays no other channel.
//  2. No loss: the cursor moves in the transaction that notes what it passed, and a
//     webhook's only when the record was taken. Retries go on, ever more slowly, at
//     most 5 minutes apart.
//  3. One message for each subject and channel. What changed while a channel was down
//     is told once, as it is now. Only a crash between sending and noting it sends
//     twice; a webhook's second has the same id, a mail's the same Message-ID, a
//     page's the same key.
//  4. Of several replicas one serves a channel at a time.
//  5. What people wrote is data: plain text in every form, cut, never markup, never a
//     header. No message holds a secret, and no link does anything when it is opened.
package notify
