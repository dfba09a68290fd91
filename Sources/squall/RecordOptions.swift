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

  /// The run to lead: a new one of this plan, or one that was cut off.
  func run(
    of plan: Plan?, key: [UInt8], head: RecordHead, voice: MasterVoice
  ) throws -> RunRecord {
    let warn: @Sendable (String) -> Void = { voice.told("warning: " + $0) }
    if resume { return try resumed(plan, key, warn, voice) }
    guard let plan else {
      throw Complaint.usage(
        "name the server to load or a scenario: squall master http://HOST/, or -f shop.yaml.")
    }
    if noRecord {
      return RunRecord(inMemory: plan, head: head)
    }
    do {
      return try recorded(plan, head, warn, voice)
    } catch let trouble as RecordFile.Trouble {
      if trouble.isRefusal { throw Complaint(trouble) }
      return RunRecord(inMemory: plan, head: head, failure: trouble.sentence, warn: warn)
    }
  }

  /// A new run, whatever was before it.
  func new(
    of plan: Plan, head: RecordHead, warn: @escaping @Sendable (String) -> Void
  ) throws(Complaint) -> RunRecord {
    if noRecord { return RunRecord(inMemory: plan, head: head) }
    do throws(RecordFile.Trouble) {
      return try file().begin(plan: plan, head: head, warn: warn)
    } catch {
      if error.isRefusal { throw Complaint(error) }
      return RunRecord(inMemory: plan, head: head, failure: error.sentence, warn: warn)
    }
  }

  /// The run that goes on when a master that lives is started anew with the record of the one before.
  func cutOff(key: [UInt8], _ voice: MasterVoice) throws(Complaint) -> RunRecord? {
    if noRecord {
      guard !resume else {
        throw Complaint.usage("--resume needs a record, and --no-record is none.")
      }
      return nil
    }
    let warn: @Sendable (String) -> Void = { voice.told("warning: " + $0) }
    do throws(RecordFile.Trouble) {
      let file = try file()
      if resume { return say(try file.resume(key: key, warn: warn), voice) }
      guard let run = try file.cutOffRun() else { return nil }
      if record != nil { return say(try file.resume(run: run, key: key, warn: warn), voice) }
      voice.told("a run was cut off: squall master --resume goes on with it")
      return nil
    } catch {
      if error.isRefusal { throw Complaint(error) }
      voice.told("warning: \(error.sentence)")
      return nil
    }
  }

  var path: String? { noRecord ? nil : record ?? RecordFile.standardPath }

  private func file() throws(RecordFile.Trouble) -> RecordFile {
    try RecordFile(path: record ?? RecordFile.standardPath, for: .writing)
  }

  private func recorded(
    _ plan: Plan, _ head: RecordHead, _ warn: @escaping @Sendable (String) -> Void,
    _ voice: MasterVoice
  ) throws -> RunRecord {
    let file = try file()
    if let run = try file.cutOffRun(of: plan) {
      if record != nil {
        return say(try file.resume(run: run, key: plan.key, warn: warn), voice)
      }
      voice.told("a run of this plan was cut off: squall master --resume goes on with it")
    }
    return try file.begin(plan: plan, head: head, warn: warn)
  }

  private func resumed(
    _ plan: Plan?, _ key: [UInt8], _ warn: @escaping @Sendable (String) -> Void,
    _ voice: MasterVoice
  ) throws -> RunRecord {
    if noRecord { throw Complaint.usage("--resume needs a record, and --no-record is none.") }
    let run: RunRecord
    do throws(RecordFile.Trouble) {
      run = try file().resume(key: key, warn: warn)
    } catch {
      throw Complaint(error)
    }
    if let plan, plan != run.plan {
      throw Complaint.usage(
        "--resume goes on with the load of run \(run.run.hexadecimal), which is another one: leave "
          + "the URL or scenario and the load's flags out, or leave --resume out to begin a new run."
      )
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
