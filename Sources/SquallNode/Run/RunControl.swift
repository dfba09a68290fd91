internal import NIOConcurrencyHelpers
package import SquallLoad

/// The runs of this process, as the web port shows and leads them: one that goes on, and those that were.
package protocol RunControl: Sendable {
  /// Whole figures as they come, for any number of readers; nil while there is nothing to show.
  var feed: Feed? { get }
  /// What goes on now; nil while there is nothing to show.
  func figures() async -> LiveFigures?
  /// What it has come to by name; nil while there is nothing to show.
  func totals() async -> RunTotals?
  /// All that is known of it, for a result by now; nil while there is nothing to show.
  func picture() async -> RunPicture?
  /// Begins a run and returns its name. An empty object begins the run of the command line.
  func start(_ document: JSONValue) async throws(Objection) -> UInt64
  /// Changes the load of the run that goes on.
  func change(_ document: JSONValue) async throws(Objection)
  /// What a run was asked with, as `start` takes it, or with nil the run of the command line. Nil where it is not
  /// kept, or cannot be said so.
  func order(of run: UInt64?) async -> JSONValue?
  /// Ends the load of the run that goes on.
  func stop() async throws(Objection)
  /// Every run there is, newest first.
  func runs() async throws(Objection) -> [RecordedRunSummary]
  /// One of them.
  func summary(of run: UInt64) async throws(Objection) -> RecordedRunSummary
  /// The file the runs are in; nil while they are in memory only.
  var recordPath: String? { get }
}

/// Why a command is not followed, for whoever gave it.
package struct Objection: Error {
  package enum Kind: Sendable {
    /// It does not fit what goes on now.
    case untimely
    /// What it asks for cannot be, at any time.
    case unusable
    /// There is no such run.
    case absent
    /// The record cannot be read.
    case unavailable
  }

  package var kind: Kind
  package var sentence: String
  /// The member of a document that it is about.
  package var field: String?

  package init(_ kind: Kind, _ sentence: String, field: String? = nil) {
    self.field = field
    self.kind = kind
    self.sentence = sentence
  }

  static func absent(_ run: UInt64) -> Objection {
    Objection(.absent, "there is no run \(run.hexadecimal)")
  }
}

/// The runs of the command line, none or one after the other: they begin by themselves.
package final class Shown: RunControl {
  private let run: NIOLockedValueBox<RunHost?>

  package init(_ run: RunHost? = nil) { self.run = NIOLockedValueBox(run) }

  package func show(_ run: RunHost) { self.run.withLockedValue { $0 = run } }

  private var now: RunHost? { run.withLockedValue { $0 } }

  package var feed: Feed? { now?.feed }
  package func figures() async -> LiveFigures? { await now?.figures() }
  package func totals() async -> RunTotals? { await now?.totals() }
  package func picture() async -> RunPicture? { await now?.picture() }
  package var recordPath: String? { now?.record?.path }

  package func start(_ document: JSONValue) async throws(Objection) -> UInt64 {
    throw Objection(.untimely, "the run of the command line begins by itself, and no other")
  }

  package func order(of run: UInt64?) async -> JSONValue? { nil }

  package func stop() async throws(Objection) {
    guard let now else { throw Self.nothing }
    now.stop()
  }

  package func change(_ document: JSONValue) async throws(Objection) {
    guard let now else { throw Self.nothing }
    try await now.change(ChangeOrder.change(document))
  }

  package func runs() async throws(Objection) -> [RecordedRunSummary] {
    let led = await now?.summary()
    if let recordPath { return try RecordFile.runsForControl(recordPath, led: led) }
    return led.map { [$0] } ?? []
  }

  package func summary(of run: UInt64) async throws(Objection) -> RecordedRunSummary {
    let led = await now?.summary()
    if let recordPath { return try RecordFile.summaryForControl(recordPath, of: run, led: led) }
    guard let led, led.run == run else { throw .absent(run) }
    return led
  }

  private static let nothing = Objection(.untimely, "there is no run yet")
}

extension RecordFile {
  /// Every run of the record, newest first.
  static func runsForControl(
    _ path: String, led: RecordedRunSummary?
  ) throws(Objection) -> [RecordedRunSummary] {
    do throws(Trouble) {
      return try RecordFile(path: path, for: .reading).runs(led: led).reversed()
    } catch {
      throw Objection(.unavailable, error.sentence)
    }
  }

  static func summaryForControl(
    _ path: String, of run: UInt64, led: RecordedRunSummary?
  ) throws(Objection) -> RecordedRunSummary {
    do throws(Trouble) {
      return try RecordFile(path: path, for: .reading).summary(of: run, led: led)
    } catch {
      throw Objection(error)
    }
  }
}
