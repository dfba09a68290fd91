import ArgumentParser
import SquallLoad
import SquallNode
import SquallReport

/// A run that this process leads, from its start to its written result: what `master` and `fleet run`
/// have in common.
struct Leading {
  var run: RunRecord
  var host: RunHost
  var voice: MasterVoice
  var line: LiveLine?
  var judgement: JudgementOptions
  var output: OutputOptions

  /// How the run is judged, once everything of it is closed, and the last parts too; nil when too few
  /// workers came for one.
  func toTheEnd(last: [Closing.Part]) async throws -> ExitStatus? {
    async let showing: Void? = line?.follow(host.feed, namesWorkers: true)
    let finished = try await host.finished()
    await showing
    let result = try Self.result(of: run, finished, voice)
    let output = output
    let writing = Closing.Part("the result", withinNs: nil) {
      if !finished.hadTooFewWorkers { try output.write(result) }
    }
    let voice = voice
    try await host.close(
      [run.closing(with: result), writing], last: last, late: { voice.told("warning: \($0)") })
    guard !finished.hadTooFewWorkers else { return nil }
    return Self.status(of: result, finished, by: judgement)
  }

  /// Also says what is missing.
  static func result(
    of run: RunRecord, _ finished: RunHost.Finished, _ voice: MasterVoice
  ) throws -> RunResult {
    for sentence in finished.facts.gaps { voice.told("missing: \(sentence)") }
    return RunResult(
      ledger: finished.ledger, plan: run.plan, facts: finished.facts,
      objectives: try JudgementOptions.objectives(run.head.objectives), deflate: deflate)
  }

  static func status(
    of result: RunResult, _ finished: RunHost.Finished, by judgement: JudgementOptions
  ) -> ExitStatus {
    finished.facts.gaps.isEmpty ? judgement.status(of: result) : .incomplete
  }
}

extension ScenarioOptions {
  /// What is to be sent, with the objectives of its scenario; nil when nothing is named.
  ///
  /// - Parameter keepsSecrets: the plan goes to nobody who was not meant to have it.
  func plan(
    _ load: LoadOptions, keepsSecrets: @autoclosure () throws -> Bool
  ) throws -> (Plan?, objectives: [String]) {
    if load.wire.key != nil, try !keepsSecrets() {
      throw Complaint.usage(
        "--key goes to every worker, and anybody may be one here: give the master and its workers "
          + "--token-file FILE, or TLS with --tls-cert and --tls-key.")
    }
    if let path = try file(orPositional: load.url) {
      let file = try program(of: path)
      let plan = try plan(of: file, by: load.draft(url: ""))
      return (plan, file.objectiveTexts)
    }
    try refuseWithoutFile(dryRun: false)
    return (load.url == nil ? nil : try load.plan(), [])
  }
}
