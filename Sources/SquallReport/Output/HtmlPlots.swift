internal import SquallLoad

/// The plots of the HTML report, each an SVG figure, or nothing where there is nothing to see.
struct HtmlPlots {
  private let result: RunResult
  private let timeline: ReportTimeline
  private let isOpen: Bool

  init(_ result: RunResult) {
    self.result = result
    timeline = ReportTimeline(result)
    isOpen = result.plan.schedule != nil
  }

  var all: String {
    guard !timeline.columns.isEmpty else { return "" }
    return rate + latency + heat + percentiles + errors + busy + lag
  }

  private func chart(_ title: String, _ y: (Axis.Kind, Double, Double)) -> Chart {
    var chart = Chart(title, x: (.linear, 0, timeline.endSeconds), y: y)
    for (phase, label) in [(Phase.warmup, "warm-up"), (.drain, "drain")] {
      let columns = timeline.columns.filter { $0.phase == phase.name }
      if let first = columns.first, let last = columns.last {
        chart.shade(label, Double(first.startNs) * 1e-9, Double(last.endNs) * 1e-9)
      }
    }
    return chart
  }

  private func hover(_ chart: inout Chart, _ text: (ReportTimeline.Column) -> String) {
    for column in timeline.columns {
      let from = Double(column.startNs) * 1e-9
      let to = Double(column.endNs) * 1e-9
      chart.hover(
        from, to, "\(Figures.fixed(from, 1)) to \(Figures.fixed(to, 1)) s: \(text(column))")
    }
  }

  private func points(
    _ value: (ReportTimeline.Column) -> Double?
  ) -> [(x: Double, y: Double)?] {
    timeline.columns.map { column in value(column).map { (column.middle, $0) } }
  }

  private var rate: String {
    let highest = timeline.columns.map { $0.perSecond($0.ok) }.max() ?? 0
    let target = targetPoints
    let top = max(highest, target.map(\.y).max() ?? 0, 1) * 1.08
    var chart = chart("Rate: responses per second", (.linear, 0, top))
    chart.drawY(Self.count)
    chart.drawTime()
    if !target.isEmpty { chart.line("target", "line muted dashed", target) }
    // What the drain brings is of requests sent before it: no rate of its own.
    chart.line(
      "ok", "line s1", points { $0.phase == Phase.drain.name ? nil : $0.perSecond($0.ok) })
    if timeline.columns.contains(where: { $0.notOk > 0 }) {
      chart.line("not ok", "line s4", points { $0.perSecond($0.notOk) })
    }
    hover(&chart) {
      "\(Figures.rate($0.perSecond($0.ok)))/s ok, \(Figures.grouped($0.notOk)) not ok"
    }
    return chart.figure
  }

  /// The plan's rate curve.
  private var targetPoints: [(x: Double, y: Double)] {
    guard let schedule = result.plan.schedule else { return [] }
    var points = [(x: 0.0, y: schedule.startPerS)]
    var seconds = 0.0
    for stage in schedule.stages {
      let end = seconds + Double(stage.durationNs) * 1e-9
      guard end < timeline.endSeconds else {
        let share = (timeline.endSeconds - seconds) / max(end - seconds, 1e-9)
        let last = points[points.count - 1].y
        points.append((timeline.endSeconds, last + (stage.endPerS - last) * share))
        return points
      }
      points.append((end, stage.endPerS))
      seconds = end
    }
    points.append((timeline.endSeconds, points[points.count - 1].y))
    return points
  }

  /// Bounds of all latencies shown, a little wider.
  private var latencyRange: (low: Double, high: Double)? {
    let histograms = timeline.columns.map(\.response).filter { !$0.isEmpty }
    guard let low = histograms.map(\.minNs).min(), let high = histograms.map(\.maxNs).max() else {
      return nil
    }
    return (max(100, Double(low)) * 0.9, max(200, Double(high)) * 1.1)
  }

  /// `4k`, not `4.00k`: ticks are round.
  private static func count(_ number: Double) -> String {
    var text = Figures.short(number)
    var unit = ""
    if let last = text.last, last.isLetter {
      unit = String(last)
      text.removeLast()
    }
    if text.contains(".") {
      while text.last == "0" { text.removeLast() }
      if text.last == "." { text.removeLast() }
    }
    return text + unit
  }

  private static func duration(_ ns: Double) -> String {
    Figures.plainDuration(UInt64(ns.rounded()))
  }

  private var latency: String {
    guard let range = latencyRange else { return "" }
    var chart = chart("Response time, logarithmic", (.logarithmic, range.low, range.high))
    chart.drawY(Self.duration)
    chart.drawTime()
    for (name, style, fraction) in [
      ("p50", "line s1", 0.5), ("p90", "line s3", 0.9), ("p99", "line s2", 0.99),
      ("max", "line s4 thin", 1),
    ] {
      chart.line(
        name, style,
        points { $0.response.isEmpty ? nil : Double($0.response.quantileNs(fraction)) })
    }
    if isOpen {
      chart.line(
        "service p99", "line s2 dashed",
        points { $0.service.isEmpty ? nil : Double($0.service.quantileNs(0.99)) })
    }
    hover(&chart) { column in
      guard !column.response.isEmpty else { return "no ok response" }
      return [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1)]
        .map { "\($0.0) \(Figures.duration(column.response.quantileNs($0.1)))" }
        .joined(separator: ", ")
    }
    return chart.figure
  }

  private static let heatRows = 56
  private static let heatLevels = 10

  /// Where responses are: time to the right, response time up, the more the stronger the colour. Each level is one
  /// path, so a plot of thousands of cells stays small.
  private var heat: String {
    guard let range = latencyRange else { return "" }
    var chart = chart(
      "All response times: the stronger, the more; logarithmic",
      (.logarithmic, range.low, range.high))
    let rows = Self.heatRows
    var cells: [[Double]] = []
    for column in timeline.columns {
      var counts = [Double](repeating: 0, count: rows)
      func add(_ ns: UInt64, _ count: UInt64) {
        let share = (chart.y.start - chart.y.position(Double(ns))) / (chart.y.start - chart.y.end)
        counts[min(rows - 1, Int(share * Double(rows)))] += Double(count)
      }
      if column.response.underCount > 0 { add(column.response.minNs, column.response.underCount) }
      for bucket in column.response.buckets {
        add(HistogramLayout.middleNs(Int(bucket.index)), bucket.count)
      }
      if column.response.overCount > 0 { add(column.response.maxNs, column.response.overCount) }
      cells.append(counts.map { column.seconds > 0 ? $0 / column.seconds : 0 })
    }
    // Logarithmic in the count, or the slow few would not show beside the fast many.
    let most = cells.flatMap { $0 }.max() ?? 0
    let least = cells.flatMap { $0 }.filter { $0 > 0 }.min() ?? 0
    guard most > 0 else { return "" }
    let span = naturalLogarithm(max(most / least, 2))
    var paths = [String](repeating: "", count: Self.heatLevels)
    let height = (chart.y.start - chart.y.end) / Double(rows)
    for (column, counts) in zip(timeline.columns, cells) {
      let left = chart.x.position(Double(column.startNs) * 1e-9)
      let width = chart.x.position(Double(column.endNs) * 1e-9) - left
      for (row, count) in counts.enumerated() where count > 0 {
        let level = naturalLogarithm(count / least) / span * Double(Self.heatLevels - 1)
        let top = chart.y.start - Double(row + 1) * height
        paths[Int(level.rounded())] +=
          "M\(Svg.number(left)) \(Svg.number(top))h\(Svg.number(width))v\(Svg.number(height))"
          + "h-\(Svg.number(width))z"
      }
    }
    for (level, path) in paths.enumerated() where !path.isEmpty {
      let opacity = 0.1 + 0.9 * Double(level) / Double(Self.heatLevels - 1)
      chart.raw(
        "<path class=\"heat\" fill-opacity=\"\(Figures.fixed(opacity, 2))\" d=\"\(path)\"/>")
    }
    chart.drawY(Self.duration)
    chart.drawTime()
    return chart.figure
  }

  /// Response time against how rare it is: as far to the right for each nine.
  private var percentiles: String {
    let response = result.histogram(.response)
    guard let range = latencyRange, response.count > 0 else { return "" }
    let rarest = max(100, Double(response.count))
    var chart = Chart(
      "Percentiles of response time, logarithmic; each nine as wide as the last",
      x: (.logarithmic, 1, rarest), y: (.logarithmic, range.low, range.high))
    chart.drawY(Self.duration)
    var nines = [(10.0, "90%"), (100, "99%"), (1000, "99.9%"), (10_000, "99.99%")]
    nines += [(100_000, "99.999%"), (1_000_000, "99.9999%"), (10_000_000, "99.99999%")]
    let shown = [(1.0, "0%"), (2, "50%")] + nines.filter { $0.0 <= rarest }
    chart.drawX(shown.map(\.0)) { tick in shown.first { $0.0 == tick }?.1 ?? "" }
    func curve(_ histogram: CompactHistogram) -> [(x: Double, y: Double)?] {
      let count = 160
      return (0...count).map { step in
        let distance = exponential(naturalLogarithm(rarest) * Double(step) / Double(count))
        return (distance, Double(histogram.quantileNs(1 - 1 / distance)))
      }
    }
    chart.line("response", "line s1", curve(response))
    if isOpen { chart.line("service", "line s2 dashed", curve(result.histogram(.service))) }
    return chart.figure
  }

  private var errors: String {
    let causes = ErrorCause.allCases.filter { result.errors[$0] > 0 }
    let hasDrops = result.requests.dropped > 0
    guard !causes.isEmpty || hasDrops else { return "" }
    let names = causes.map(\.name) + (hasDrops ? ["dropped"] : [])
    func count(_ name: String, _ column: ReportTimeline.Column) -> UInt64 {
      name == "dropped" ? column.dropped : column.errors[name] ?? 0
    }
    let top =
      timeline.columns.map { column in
        names.reduce(0) { $0 + column.perSecond(count($1, column)) }
      }.max() ?? 0
    guard top > 0 else { return "" }
    var chart = chart("Failures per second, by cause", (.linear, 0, top * 1.08))
    chart.drawY(Self.count)
    chart.drawTime()
    for (number, name) in names.enumerated() { chart.name(name, "line s\(number % 8 + 1) thick") }
    for column in timeline.columns {
      var base = 0.0
      for (number, name) in names.enumerated() where count(name, column) > 0 {
        let height = column.perSecond(count(name, column))
        chart.bar(
          "f\(number % 8 + 1)", Double(column.startNs) * 1e-9, Double(column.endNs) * 1e-9, base,
          base + height)
        base += height
      }
    }
    hover(&chart) { column in
      let parts = names.filter { count($0, column) > 0 }
        .map { "\(Figures.grouped(count($0, column))) \($0)" }
      return parts.isEmpty ? "none" : parts.joined(separator: ", ")
    }
    return chart.figure
  }

  private static let workerLineCountMax = 8

  /// A line for each worker, or for lowest, median and highest of many.
  private func workerLines(
    _ chart: inout Chart, _ value: (ReportTimeline.Column, Int) -> Double?
  ) {
    let workers = result.workers
    if workers.count <= Self.workerLineCountMax {
      for (number, worker) in workers.enumerated() {
        let name = worker.cpu.map { "\(number): cpu \($0)" } ?? "worker \(number)"
        chart.line(name, "line s\(number % 8 + 1)", points { value($0, number) })
      }
      return
    }
    for (name, style, share) in [
      ("lowest", "line s3", 0.0), ("median", "line s1", 0.5), ("highest", "line s4", 1),
    ] {
      chart.line(
        name, style,
        points { column in
          let values = workers.indices.compactMap { value(column, $0) }.sorted()
          return values.isEmpty ? nil : values[Int(share * Double(values.count - 1))]
        })
    }
  }

  private var busy: String {
    guard !result.workers.isEmpty else { return "" }
    let top = timeline.columns.flatMap { $0.busy.compactMap { $0 } }.max() ?? 0
    var chart = chart("Workers: share of their CPU used", (.linear, 0, max(1, top)))
    chart.drawY { Figures.fixed($0 * 100, 0) + "%" }
    chart.drawTime()
    workerLines(&chart) { $0.busy[$1] }
    hover(&chart) { column in
      column.busy.prefix(Self.workerLineCountMax).map { $0.map(Figures.percent) ?? "-" }
        .joined(separator: ", ")
    }
    return chart.figure
  }

  private var lag: String {
    let lags = timeline.columns.flatMap(\.lagP99Ns).filter { $0 > 0 }
    guard let low = lags.min(), let high = lags.max() else { return "" }
    var chart = chart(
      "Workers: how late requests were sent (p99 of schedule lag), logarithmic",
      (.logarithmic, Double(low) / 2, Double(high) * 2))
    chart.drawY(Self.duration)
    chart.drawTime()
    workerLines(&chart) { $0.lagP99Ns[$1] > 0 ? Double($0.lagP99Ns[$1]) : nil }
    hover(&chart) { column in
      column.lagP99Ns.prefix(Self.workerLineCountMax).map { Figures.duration($0 > 0 ? $0 : nil) }
        .joined(separator: ", ")
    }
    return chart.figure
  }
}
