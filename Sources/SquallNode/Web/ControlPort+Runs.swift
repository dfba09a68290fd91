internal import HTTPTypes
internal import Hummingbird
internal import NIOCore
internal import SquallCluster
internal import SquallLoad
internal import SquallReport

/// The runs that were and the one that is: each as its result, in every form of output, as pages draw it,
/// and compared.
extension ControlPort {
  func addRuns(to router: Router<BasicRequestContext>) {
    router.get("api/runs/:id") { request, context in
      await self.answerOfRun(request, context) { Self.json(.ok, $0.result.json) }
    }
    router.get("api/runs/:id/summary") { request, context in
      await self.attempt(request) { control throws(Objection) in
        Self.json(.ok, try await control.summary(of: Self.id(context)).json)
      }
    }
    router.get("api/runs/:id/:form") { request, context in
      let form = context.parameters.get("form") ?? ""
      if form == "view" {
        return await self.answerOfRun(request, context) { Self.json(.ok, $0.view.json) }
      }
      guard let form = Form(form) else {
        return await self.answer(request) { _ in
          Self.error(.notFound, "a run has no \(form): its forms are \(Form.list)")
        }
      }
      return await self.answerOfRun(request, context) { form.answer($0.result) }
    }
    router.patch("api/runs/:id") { request, context in
      await self.follow(request) { control, document throws(Objection) in
        let (id, annotation) = (try Self.id(context), try Self.annotation(document))
        try Self.change(control) { record throws(RecordFile.Trouble) in
          try record.annotate(run: id, with: annotation)
        }
        return Self.json(.ok, document)
      }
    }
    router.delete("api/runs/:id") { request, context in
      await self.follow(request) { control, _ throws(Objection) in
        let id = try Self.id(context)
        let isGone = try Self.change(control) { record throws(RecordFile.Trouble) in
          try record.delete(run: id)
        }
        guard isGone else { throw Objection(.untimely, "the run goes on: stop it first") }
        return (.noContent, "", "")
      }
    }
    router.get("api/comparisons") { request, _ in
      await self.attempt(request) { control throws(Objection) in
        let comparisons = try await Self.comparisons(request, of: control)
        return Self.json(.ok, .object([.init("comparisons", .array(comparisons.map(\.json)))]))
      }
    }
    router.get("api/compare") { request, _ in
      await self.attempt(request) { control throws(Objection) in
        Self.json(.ok, try await Self.comparison(request, of: control).json)
      }
    }
  }

  /// What `squall run -o` writes, by the end of its address.
  enum Form: String, CaseIterable {
    case html = "report.html"
    case json = "report.json"
    case csv = "report.csv"
    case text = "report.text"
    case timeseries = "report.timeseries"
    case hdr = "report.hdr"
    case hlog = "report.hlog"

    init?(_ name: String) { self.init(rawValue: name) }

    static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }

    func answer(_ result: RunResult) -> Answer {
      switch self {
      case .html: (.ok, "text/html; charset=utf-8", HtmlReport(result, with: .ours).text)
      case .json: (.ok, "application/json", result.json.indentedText)
      case .csv: (.ok, "text/csv; charset=utf-8", Csv.header + Csv.row(result))
      case .text: (.ok, "text/plain; charset=utf-8", TextReport(result).text)
      case .timeseries:
        (.ok, "application/x-ndjson", result.timeseries(withHistograms: true))
      case .hdr:
        (.ok, "text/plain; charset=utf-8", HdrText.percentiles(result.histogram(.response)))
      case .hlog: (.ok, "text/plain; charset=utf-8", HdrText.log(result, deflate: deflate))
      }
    }
  }

  private func answerOfRun(
    _ request: Request, _ context: BasicRequestContext, by answering: (RunAtHand) -> Answer
  ) async -> Response {
    await attempt(request) { control throws(Objection) in
      answering(try await Self.run(try Self.id(context), in: control))
    }
  }

  // MARK: Where runs come from

  static func id(_ context: BasicRequestContext) throws(Objection) -> UInt64 {
    let text = context.parameters.get("id") ?? ""
    guard let id = UInt64(hexadecimal: text) else {
      throw Objection(.absent, "'\(text)' is no run's id: an id has 16 hexadecimal digits")
    }
    return id
  }

  /// A run that goes on, or one that was.
  private enum RunAtHand {
    case now(RunPicture)
    case past(RecordedRun)

    var result: RunResult {
      switch self {
      case .now(let picture): picture.result()
      case .past(let run): run.result
      }
    }

    var view: RunView {
      switch self {
      case .now(let picture): picture.view()
      case .past(let run): RunView(run.result)
      }
    }
  }

  /// What is recorded of a run is the last word on it, once its end is.
  private static func run(
    _ id: UInt64, in control: any RunControl
  ) async throws(Objection) -> RunAtHand {
    if let picture = await control.picture(), picture.figures.run == id {
      let isOver = picture.figures.status.stage == .ended
      guard isOver, let run = try? recorded(id, in: control), run.printed != nil else {
        return .now(picture)
      }
      return .past(run)
    }
    return .past(try recorded(id, in: control))
  }

  private static func recorded(
    _ id: UInt64, in control: any RunControl
  ) throws(Objection) -> RecordedRun {
    guard let path = control.recordPath else {
      throw .absent(id)
    }
    do throws(RecordFile.Trouble) {
      return try RecordFile(path: path, for: .reading).read(run: id)
    } catch {
      throw Objection(error)
    }
  }

  private static func change<Value>(
    _ control: any RunControl, by changing: (RecordFile) throws(RecordFile.Trouble) -> Value
  ) throws(Objection) -> Value {
    guard let path = control.recordPath else {
      throw Objection(.untimely, "runs are in memory only: there is no record to change")
    }
    do throws(RecordFile.Trouble) {
      return try changing(RecordFile(path: path, for: .writing))
    } catch {
      throw Objection(error)
    }
  }

  // MARK: Comparison

  private static let comparedCountMax = 32

  /// `?runs=A,B`, or pairs `A,B,A,B` as interleaved runs are made.
  private static func comparison(
    _ request: Request, of control: any RunControl
  ) async throws(Objection) -> Comparison {
    let words = (request.uri.queryParameters["runs"] ?? "").split(separator: ",")
    guard words.count >= 2, words.count.isMultiple(of: 2), words.count <= comparedCountMax else {
      throw Objection(
        .unusable, "name two runs, or pairs of them, \(comparedCountMax) at most: ?runs=A,B")
    }
    let results = try await Self.results(words, of: control)
    let sides = [0, 1].map { side in
      results.enumerated().filter { $0.offset % 2 == side }.map(\.element)
    }
    return Comparison(
      baseline: sides[0], candidate: sides[1],
      acceptsPlanDifferences: acceptsPlanDifferences(request))
  }

  /// `?runs=A,B,C`: each against the first.
  private static func comparisons(
    _ request: Request, of control: any RunControl
  ) async throws(Objection) -> [Comparison] {
    let words = (request.uri.queryParameters["runs"] ?? "").split(separator: ",")
    guard words.count >= 2, words.count <= comparedCountMax else {
      throw Objection(
        .unusable, "name two runs or more, \(comparedCountMax) at most: ?runs=A,B,C")
    }
    let results = try await Self.results(words, of: control)
    return results.dropFirst().map { result in
      Comparison(
        baseline: [results[0]], candidate: [result],
        acceptsPlanDifferences: acceptsPlanDifferences(request))
    }
  }

  private static func acceptsPlanDifferences(_ request: Request) -> Bool {
    request.uri.queryParameters["accept_different_plans"] == "true"
  }

  private static func results(
    _ names: [Substring], of control: any RunControl
  ) async throws(Objection) -> [RunResult] {
    var results: [RunResult] = []
    for name in names {
      guard let id = UInt64(hexadecimal: String(name)) else {
        throw Objection(.absent, "'\(name)' is no run's id")
      }
      results.append(try await run(id, in: control).result)
    }
    return results
  }

  // MARK: Labels and notes

  /// Long enough for a paragraph.
  private static let annotationByteCountMax = 16 << 10

  private static func annotation(_ document: JSONValue) throws(Objection) -> RunAnnotation {
    let annotation: RunAnnotation
    do {
      annotation = try RunAnnotation(json: document)
    } catch {
      throw Objection(.unusable, "\(error)")
    }
    guard document.text.utf8.count <= annotationByteCountMax else {
      throw Objection(
        .unusable, "labels and note have \(annotationByteCountMax >> 10) KiB at most")
    }
    return annotation
  }
}

extension Objection {
  init(_ trouble: RecordFile.Trouble) {
    switch trouble {
    case .unavailable(let sentence): self.init(.unavailable, sentence)
    case .refused(let sentence): self.init(.absent, sentence)
    }
  }
}

extension UInt64 {
  /// As `hexadecimal` writes it.
  init?(hexadecimal text: String) {
    guard text.utf8.count == 16,
      text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") })
    else { return nil }
    self.init(text, radix: 16)
  }
}
