import Foundation

/// Plots as SVG that stand alone: no script, no font of their own, legible on light and dark.
package enum Plot {
  package struct Series: Sendable {
    package let name: String
    package let points: [(x: Double, y: Double)]

    package init(name: String, points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points
    }
  }

  package struct Bar: Sendable {
    package let name: String
    package let value: Double
    package let low: Double?
    package let high: Double?

    package init(name: String, value: Double, low: Double? = nil, high: Double? = nil) {
      self.name = name
      self.value = value
      self.low = low
      self.high = high
    }
  }

  /// Okabe and Ito's colours, which stay apart for colour-blind readers; mid-tones for both grounds.
  private static let colours = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C6D31",
    "#6B4C9A", "#B22222", "#2F7F7F", "#A0A000",
  ]
  private static let style = """
    <style>text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:15px;font-weight:600}\
    .g{stroke:#8884;stroke-width:1}.s{fill:#666}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#999}}</style>
    """

  /// Lines over a horizontal axis of doublings.
  package static func lines(
    title: String, xTitle: String, yTitle: String, series: [Series]
  ) -> String {
    let all = series.flatMap(\.points)
    guard let xLow = all.map(\.x).min(), let xHigh = all.map(\.x).max(),
      let yHigh = all.map(\.y).max(), xLow > 0, yHigh > 0
    else { return empty(title) }
    let (width, height, left, top, plotWidth, plotHeight) = (820.0, 440.0, 60.0, 50.0, 560.0, 320.0)
    let step = niceStep(yHigh / 5)
    let ceiling = (yHigh / step).rounded(.up) * step
    func x(_ value: Double) -> Double {
      let span = max(log2(xHigh) - log2(xLow), 1e-9)
      return left + (log2(value) - log2(xLow)) / span * plotWidth
    }
    func y(_ value: Double) -> Double { top + plotHeight * (1 - value / ceiling) }

    var body = heading(title)
    for tick in stride(from: 0, through: ceiling + step / 2, by: step) {
      body += line(left, y(tick), left + plotWidth, y(tick))
      body += text(left - 6, y(tick) + 4, shown(tick), anchor: "end")
    }
    for value in Set(all.map(\.x)).sorted() {
      body += text(x(value), top + plotHeight + 18, grouped(Int(value)), anchor: "middle")
    }
    body += text(left + plotWidth / 2, top + plotHeight + 40, xTitle, anchor: "middle")
    body += text(left, top - 10, yTitle, anchor: "start", class: "s")
    // Names stand beside the last point of their line, pushed apart where they would meet.
    let named = series.enumerated().filter { !$1.points.isEmpty }
      .map { index, series in (index, series, y(series.points.last?.y ?? 0)) }
      .sorted { $0.2 < $1.2 }
    var lowest = -Double.infinity
    for (index, series, wanted) in named {
      let colour = colours[index % colours.count]
      let path = series.points.map { "\(fixed(x($0.x), 1)),\(fixed(y($0.y), 1))" }
        .joined(separator: " ")
      body +=
        "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>\n"
      for point in series.points {
        body +=
          "<circle cx=\"\(fixed(x(point.x), 1))\" cy=\"\(fixed(y(point.y), 1))\" r=\"3\" "
          + "fill=\"\(colour)\"/>\n"
      }
      let at = max(wanted, lowest + 14)
      lowest = at
      let end = series.points.last?.x ?? xHigh
      let nameX = left + plotWidth + 12
      body +=
        "<path d=\"M\(fixed(x(end) + 4, 1)) \(fixed(wanted, 1)) L\(fixed(nameX - 3, 1)) "
        + "\(fixed(at, 1))\" stroke=\"\(colour)\" stroke-dasharray=\"2 3\" fill=\"none\"/>\n"
      body +=
        "<text x=\"\(fixed(nameX, 1))\" y=\"\(fixed(at + 4, 1))\" "
        + "style=\"fill:\(colour)\">\(escaped(series.name)) \(shown(series.points.last?.y ?? 0))"
        + "</text>\n"
    }
    return document(width, height, body)
  }

  /// Horizontal bars, longest value at the bottom, with the interval as a whisker.
  package static func bars(
    title: String, subtitle: String, bars: [Bar], isLogarithmic: Bool = false
  ) -> String {
    let shownBars = bars.sorted { $0.value < $1.value }
    guard let greatest = shownBars.map({ max($0.value, $0.high ?? 0) }).max(),
      let least = shownBars.map(\.value).min(), greatest > 0
    else { return empty(title) }
    let (width, left, top, plotWidth, rowHeight) = (820.0, 150.0, 64.0, 560.0, 24.0)
    let height = top + Double(shownBars.count) * rowHeight + 20
    let base = isLogarithmic ? max(least / 2, 1e-3) : 0
    func length(_ value: Double) -> Double {
      guard isLogarithmic else { return value / greatest * plotWidth }
      return max(0, log2(max(value, base) / base) / log2(greatest / base)) * plotWidth
    }
    var body = heading(title)
    body += text(16, 44, subtitle, anchor: "start", class: "s")
    for (index, bar) in shownBars.enumerated() {
      let y = top + Double(index) * rowHeight
      let colour = bar.name.hasPrefix("squall") ? colours[0] : colours[6]
      body += text(left - 8, y + 15, bar.name, anchor: "end")
      body +=
        "<rect x=\"\(left)\" y=\"\(fixed(y + 3, 1))\" width=\"\(fixed(length(bar.value), 1))\" "
        + "height=\"16\" fill=\"\(colour)\" rx=\"2\"/>\n"
      if let low = bar.low, let high = bar.high {
        body +=
          "<path d=\"M\(fixed(left + length(low), 1)) \(fixed(y + 11, 1)) "
          + "H\(fixed(left + length(high), 1))\" stroke=\"\(colours[1])\" stroke-width=\"3\"/>\n"
      }
      let end = left + max(length(bar.value), length(bar.high ?? 0)) + 6
      body += text(end, y + 15, shown(bar.value), anchor: "start")
    }
    return document(width, height, body)
  }

  private static func empty(_ title: String) -> String {
    document(820, 80, heading(title) + text(16, 56, "no figures", anchor: "start"))
  }

  private static func heading(_ title: String) -> String {
    text(16, 24, title, anchor: "start", class: "t")
  }

  private static func document(_ width: Double, _ height: Double, _ body: String) -> String {
    "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(width)) \(Int(height))\" "
      + "width=\"\(Int(width))\" height=\"\(Int(height))\" role=\"img\">\n\(style)\n\(body)</svg>\n"
  }

  private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    "<path class=\"g\" d=\"M\(fixed(x1, 1)) \(fixed(y1, 1)) L\(fixed(x2, 1)) \(fixed(y2, 1))\"/>\n"
  }

  private static func text(
    _ x: Double, _ y: Double, _ text: String, anchor: String, class name: String? = nil
  ) -> String {
    let mark = name.map { " class=\"\($0)\"" } ?? ""
    return "<text x=\"\(fixed(x, 1))\" y=\"\(fixed(y, 1))\" text-anchor=\"\(anchor)\"\(mark)>"
      + "\(escaped(text))</text>\n"
  }

  private static func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }

  /// 1, 2 or 5 times a power of ten, at least the value.
  private static func niceStep(_ value: Double) -> Double {
    var size = 1.0
    while size * 10 <= value { size *= 10 }
    while size > value { size /= 10 }
    return [1, 2, 5, 10].map { $0 * size }.first { $0 >= value } ?? size * 10
  }

}
