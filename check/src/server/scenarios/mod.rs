// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the client does, one exchange after another. Two clients are connected at once only in the check
//! of two clients: many student servers can serve only one.

pub(super) mod extensions;
mod play;
mod states;
mod viewers;

use super::evidence::ServerEvidence;
use super::exchange::Context;

/// An exchange, and what leaves out its evidence.
type Exchange = (fn(&Context, &mut ServerEvidence), fn(&mut ServerEvidence));

/// Carries out all exchanges. What is not complete at the end of the run's time is left out.
///
/// The order matters: a connection that ends leaves a thread that uses all of a processor in many
/// student servers, so the exchanges that measure times come first.
pub(super) fn run(context: &Context) -> ServerEvidence {
    let job = context.job;
    let mut evidence = ServerEvidence {
        profile: job.profile.clone(),
        movie: job.movie.clone(),
        other: job.other.cloned(),
        recordings: Vec::new(),
        no_connection: None,
        play: None,
        states: None,
        missing: None,
        two: None,
        end: None,
        no_end: None,
        extensions: Vec::new(),
        disconnect: None,
        notes: Vec::new(),
    };
    play::run(context, &mut evidence);
    if evidence.no_connection.is_some() {
        return evidence;
    }
    let rest: [Exchange; 6] = [
        (states::run, |it| it.states = None),
        (viewers::missing_movie, |it| it.missing = None),
        (viewers::two_clients, |it| it.two = None),
        (extensions::run, |it| it.extensions.clear()),
        (viewers::end_of_movie, |it| it.end = None),
        (viewers::disconnect, |it| it.disconnect = None),
    ];
    for (exchange, leave_out) in rest {
        context.grow();
        exchange(context, &mut evidence);
        if context.deadline().is_over() {
            // No wait was as long as it should have been: this exchange cannot be judged.
            leave_out(&mut evidence);
            let seconds = (job.total() + context.growth()).as_secs();
            evidence.notes.push(format!("the run was ended after {seconds} s, its limit"));
            break;
        }
    }
    evidence.notes.extend(context.stalls.describe(context.extra.total()));
    evidence
}
