internal import NIOConcurrencyHelpers
internal import SquallCluster
internal import SquallEngine
package import SquallHTTP
internal import SquallLoad

/// Pushes the totals of the runs of this process to an OpenTelemetry receiver (OTLP over HTTP, JSON): in
/// intervals while a run goes on, and once when it has ended.
///
/// Sums are cumulative, so what a receiver missed is in the next push, and nothing is kept for it. The
/// run never waits for a receiver.
package final class OTLPExporter: Sendable {
  package struct Options: Sendable {
    /// Where metrics are posted to: `http[s]://host[:port]/path`.
    package var endpoint: TargetURL
    package var intervalNs: UInt64 = 10_000_000_000
    /// Beside those of the protocol.
    package var headers: [(String, String)] = []

    /// What the flags or the standard variables of OpenTelemetry ask for; nil when neither does.
    ///
    /// The variables: https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
    package init?(endpoint: String?, intervalNs: UInt64?) throws(Complaint) {
      let place: (name: String, url: String)
      if let endpoint {
        place = ("--otlp-endpoint", endpoint)
      } else if let whole = Host.variable(Self.wholeVariable) {
        place = (Self.wholeVariable, whole)
      } else if let base = Host.variable(Self.baseVariable) {
        place = (Self.baseVariable, base)
      } else {
        guard intervalNs == nil else {
          throw .usage("--otlp-interval is the time between pushes: give --otlp-endpoint URL too.")
        }
        return nil
      }
      let isWhole = place.name == Self.wholeVariable || place.url.hasSuffix(Self.path)
      let base = place.url.hasSuffix("/") ? String(place.url.dropLast()) : place.url
      do throws(TargetURL.Fault) {
        self.endpoint = try TargetURL(isWhole ? place.url : base + Self.path)
      } catch {
        throw .usage("\(place.name): \(error).")
      }
      if let intervalNs { self.intervalNs = intervalNs }
      headers = try Self.headers(Host.variable(Self.headersVariable) ?? "")
    }

    private static let baseVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"
    private static let wholeVariable = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    private static let headersVariable = "OTEL_EXPORTER_OTLP_HEADERS"
    private static let path = "/v1/metrics"

    /// `name=value,…`, as receivers that want a key are given it.
    private static func headers(_ text: String) throws(Complaint) -> [(String, String)] {
      var headers: [(String, String)] = []
      for part in text.split(separator: ",") {
        let pair = part.split(separator: "=", maxSplits: 1).map { String($0.drop { $0 == " " }) }
        guard pair.count == 2,
          pair.joined().unicodeScalars.allSatisfy({ (0x20..<0x7f) ~= $0.value })
        else {
          throw .usage("\(headersVariable) is not name=value[,name=value]: it has '\(part)'.")
        }
        headers.append((pair[0], pair[1]))
      }
      return headers
    }
  }

  private struct State {
    var isClosing = false
    var pause: Task<Void, Never>?
    var work: Task<Void, Never>?
  }

  /// What is known of the receiver and of the run that it was last told of.
  private struct Progress {
    var run: UInt64?
    var startNs: UInt64 = 0
    /// Its last totals were pushed, whether they were taken or not; and they are not to be again.
    var hasTriedEnd = false
    var isDone = false
    var nextNs: UInt64 = 0
    var failureCount = 0
  }

  /// How often the run is looked at, so that its end is told soon.
  private static let turnNs: UInt64 = 1_000_000_000
  /// The last push is tried so often, and given so long.
  private static let lastAttemptCount = 3
  private static let lastPauseNs: UInt64 = 500_000_000
  private static let lastNs: UInt64 = 5_000_000_000

  private let options: Options
  private let post: OTLPPost
  private let control: any RunControl
  private let say: @Sendable (String) -> Void
  private let state = NIOLockedValueBox(State())

  package init(
    _ options: Options, showing control: any RunControl, say: @escaping @Sendable (String) -> Void
  ) throws(Complaint) {
    self.options = options
    do {
      post = try OTLPPost(to: options.endpoint, headers: options.headers)
    } catch {
      throw .world("TLS to \(options.endpoint.hostField) cannot be prepared: \(error).")
    }
    self.control = control
    self.say = say
  }

  package func open() {
    let work = Task {
      var progress = Progress()
      while !self.state.withLockedValue({ $0.isClosing }) {
        await self.pause(Self.turnNs)
        await self.turn(&progress)
      }
      await self.last(&progress)
    }
    state.withLockedValue { $0.work = work }
  }

  /// The last totals are told.
  package var closing: Closing.Part {
    Closing.Part("the push of metrics", withinNs: Self.lastNs) {
      let work = self.state.withLockedValue { state in
        state.isClosing = true
        state.pause?.cancel()
        return state.work
      }
      await work?.value
    }
  }

  private func pause(_ ns: UInt64) async {
    let pause = Task<Void, Never> { try? await Task.sleep(nanoseconds: ns) }
    let isClosing = state.withLockedValue { state in
      state.pause = pause
      return state.isClosing
    }
    if isClosing { pause.cancel() }
    await pause.value
  }

  private func turn(_ progress: inout Progress) async {
    guard let figures = await control.figures(), notice(figures, in: &progress), !progress.isDone,
      monotonicNs() >= progress.nextNs
        || figures.status.stage == .ended && !progress.hasTriedEnd,
      let totals = await control.totals(), totals.figures.run == progress.run
    else { return }
    let hasEnded = totals.figures.status.stage == .ended
    progress.hasTriedEnd = hasEnded
    var pauseNs = options.intervalNs
    switch await push(totals, progress) {
    case .taken:
      if progress.failureCount > 0 { say("metrics reach \(place) again") }
      progress.failureCount = 0
      progress.isDone = hasEnded
    case .deferred(let reason, let afterNs):
      note(reason, in: &progress)
      pauseNs = max(afterNs, min(pauseNs, Self.turnNs << min(progress.failureCount, 6)))
    case .refused(let reason):
      note(reason, in: &progress)
      progress.isDone = hasEnded
    }
    progress.nextNs = monotonicNs().addingSaturated(pauseNs)
  }

  /// Once in a row of failures.
  private func note(_ reason: String, in progress: inout Progress) {
    progress.failureCount += 1
    if progress.failureCount == 1 {
      say(
        "warning: metrics do not reach \(place): \(reason); the run goes on, and they are tried again"
      )
    }
  }

  private func last(_ progress: inout Progress) async {
    guard let totals = await control.totals(), notice(totals.figures, in: &progress),
      !progress.isDone
    else { return }
    for attempt in 1...Self.lastAttemptCount {
      switch await push(totals, progress) {
      case .taken: return
      case .deferred(let reason, _) where attempt == Self.lastAttemptCount:
        say("warning: the last metrics did not reach \(place): \(reason)")
      case .deferred: try? await Task.sleep(nanoseconds: Self.lastPauseNs)
      case .refused(let reason):
        return say("warning: the last metrics did not reach \(place): \(reason)")
      }
    }
  }

  /// Whether there is a load. Its start is taken once, so that it is the same in each push.
  private func notice(_ figures: LiveFigures, in progress: inout Progress) -> Bool {
    guard let run = figures.run, let elapsedNs = figures.status.elapsedNs else { return false }
    if progress.run != run {
      progress = Progress(
        run: run, startNs: wallNs() - min(elapsedNs, wallNs()), failureCount: progress.failureCount)
    }
    return true
  }

  private func push(_ totals: RunTotals, _ progress: Progress) async -> OTLPPost.Outcome {
    await post.send(
      OTLPMetrics(startNs: progress.startNs, nowNs: wallNs()).request(totals).text)
  }

  private var place: String { "\(options.endpoint.hostField)\(options.endpoint.target)" }
}
