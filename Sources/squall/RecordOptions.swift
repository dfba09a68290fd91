import ArgumentParser
import SquallLoad
import SquallNode

/// Where a master keeps its runs.
struct RecordOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "File the run is recorded in as it goes (default: \(RecordFile.standardPath)).",
      discussion: "Named again after a crash with the same load, it goes on with the run.",
      valueName: "file"))
  var record: String?

  @Flag(help: "Go on with the last run whose master ended before it did; its load is recorded.")
  var resume = false

  @Flag(help: "Keep the run in memory only: it ends with this process.")
  var noRecord = false

  /// The run to lead: a new one, or one that was cut off.
  func run(load: LoadOptions, head: RecordHead, voice: MasterVoice) throws -> RunRecord {
    let warn: @Sendable (String) -> Void = { voice.told("warning: " + $0) }
    if resume { return try resumed(load, warn, voice) }
    guard let url = load.url else {
      throw Complaint.usage("name the server to load: squall master http://HOST/.")
    }
    let plan = try load.draft(url: url).plan()
    if noRecord {
      return RunRecord(plan: plan, head: head, failure: "--no-record was given") { _ in }
    }
    do {
      return try recorded(plan, head, warn, voice)
    } catch let trouble as RecordFile.Trouble {
      if trouble.isRefusal { throw Complaint(trouble) }
      return RunRecord(plan: plan, head: head, failure: trouble.sentence, warn: warn)
    }
  }

  private func recorded(
    _ plan: Plan, _ head: RecordHead, _ warn: @escaping @Sendable (String) -> Void,
    _ voice: MasterVoice
  ) throws -> RunRecord {
    let file = try RecordFile(path: record ?? RecordFile.standardPath, for: .writing)
    if let run = try file.cutOffRun(of: plan) {
      if record != nil { return say(try file.resume(run: run, warn: warn), voice) }
      voice.told("a run of this plan was cut off: squall master --resume goes on with it")
    }
    return try file.begin(plan: plan, head: head, warn: warn)
  }

  private func resumed(
    _ load: LoadOptions, _ warn: @escaping @Sendable (String) -> Void, _ voice: MasterVoice
  ) throws -> RunRecord {
    if noRecord { throw Complaint.usage("--resume needs a record, and --no-record is none.") }
    let run: RunRecord
    do throws(RecordFile.Trouble) {
      let file = try RecordFile(path: record ?? RecordFile.standardPath, for: .writing)
      run = try file.resume(warn: warn)
    } catch {
      throw Complaint(error)
    }
    if let url = load.url, try load.draft(url: url).plan() != run.plan {
      throw Complaint.usage(
        "--resume goes on with the load of run \(run.run.hexadecimal), which is another one: leave "
          + "the URL and the load's flags out, or leave --resume out to begin a new run.")
    }
    return say(run, voice)
  }

  private func say(_ run: RunRecord, _ voice: MasterVoice) -> RunRecord {
    voice.told("going on with run \(run.run.hexadecimal)")
    return run
  }
}

extension Complaint {
  init(_ trouble: RecordFile.Trouble) {
    self = trouble.isRefusal ? .usage(trouble.sentence + ".") : .world(trouble.sentence + ".")
  }
}
