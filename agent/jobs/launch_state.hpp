#pragma once

// The way of one attempt, from the intent to run it to its record: which step follows what came of the one before.
// Pure; jobs/launch.cpp does the steps, and the model test tries every step with every failure of it. A step may fail
// after it has had its effect, so each can be repeated.
//
// Two things are true by construction. Nothing that fails once a supervisor may exist ends the attempt: from
// `launching` on there is no way to the record that does not pass `looking`, where only the launch's files and the
// kernel decide (whoever looks and finds that nothing ran has revoked the launch, so that nothing will). And what fails
// after that is done again until it is done.
//
//   stage        does                                 done →       failed →      else
//   intending    puts the intent on record, makes     launching    releasing     canceled → releasing
//                the place                                                       (nobody supervises it yet)
//                                                                                postponed → over
//   launching    starts a supervisor                  watching     looking       canceled → releasing
//   watching     waits for an ending, or the          looking      looking
//                supervisor's end
//   looking      reads what the files tell            –            looking       running → watching
//                                                                                ended → settling
//                                                                                never ran → relaunching, else settling
//   relaunching  clears the revoked launch away       intending    relaunching   with the next launch's number
//   settling     ends what is left of it              releasing    settling     postponed → over
//   releasing    gives back slots and GPUs            noting       releasing
//   noting       puts the end on record               gathering    noting
//   gathering    stores outputs                       recording    recording     told, and no reason to lose the ending
//   recording    puts the ending, or the retry, on    over         recording
//
// Postponed: nothing of it ran, for want of what the node lacks for a moment; the job waits in the queue again.
//
// A cancellation asks the supervisor to stop at any of the stages in which there may be one, and is seen by the others:
// `intending` and `launching` do not go on, `looking` does not launch again, `recording` does not retry.

namespace berth::jobs {

enum class Stage {
  intending,
  launching,
  watching,
  looking,
  relaunching,
  settling,
  releasing,
  noting,
  gathering,
  recording,
  over
};

// What came of a step.
enum class Came { done, failed, canceled, postponed, running, ended, never_ran };

enum class Again { no, yes };

// `again`: a launch that never ran may be tried once more.
constexpr Stage next(Stage stage, Came came, Again again) {
  switch (stage) {
    case Stage::intending:
      if (came == Came::postponed) return Stage::over;
      return came == Came::done ? Stage::launching : Stage::releasing;
    case Stage::launching:
      if (came == Came::canceled) return Stage::releasing;
      return came == Came::done ? Stage::watching : Stage::looking;
    case Stage::watching:
      return Stage::looking;
    case Stage::looking:
      if (came == Came::running) return Stage::watching;
      if (came == Came::ended) return Stage::settling;
      if (came == Came::never_ran) return again == Again::yes ? Stage::relaunching : Stage::settling;
      return Stage::looking;
    case Stage::relaunching:
      return came == Came::done ? Stage::intending : Stage::relaunching;
    case Stage::settling:
      if (came == Came::postponed) return Stage::over;
      return came == Came::done ? Stage::releasing : Stage::settling;
    case Stage::releasing:
      return came == Came::done ? Stage::noting : Stage::releasing;
    case Stage::noting:
      return came == Came::done ? Stage::gathering : Stage::noting;
    case Stage::gathering:
      return Stage::recording;
    case Stage::recording:
    case Stage::over:
      break;
  }
  return came == Came::done || stage == Stage::over ? Stage::over : Stage::recording;
}

// Whether there may be a supervisor that a cancellation has to ask.
constexpr bool may_be_supervised(Stage stage) {
  return stage == Stage::launching || stage == Stage::watching || stage == Stage::looking;
}

}  // namespace berth::jobs
