internal import SquallLoad

/// The frame of one plot over time or anything else: axes, grid, legend, and room inside.
struct Chart {
  static let width = 880.0
  static let height = 250.0
  private static let left = 62.0
  private static let right = 12.0
  private static let top = 26.0
  private static let bottom = 24.0

  let title: String
  let x: Axis
  let y: Axis
  private var svg = Svg()
  private var legendX = Chart.left

  init(_ title: String, x: (Axis.Kind, Double, Double), y: (Axis.Kind, Double, Double)) {
    self.title = title
    self.x = Axis(
      x.0, low: x.1, high: x.2, start: Self.left, end: Self.width - Self.right)
    self.y = Axis(
      y.0, low: y.1, high: y.2, start: Self.height - Self.bottom, end: Self.top)
  }

  mutating func drawY(_ label: (Double) -> String) {
    for tick in y.ticks {
      let at = y.position(tick)
      svg.line("grid", x.start, at, x.end, at)
      svg.label(label(tick), x: x.start - 6, y: at + 4, anchor: .end)
    }
  }

  mutating func drawX(_ ticks: [Double], _ label: (Double) -> String) {
    svg.line("axis", x.start, y.start, x.end, y.start)
    for tick in ticks {
      let at = x.position(tick)
      svg.line("axis", at, y.start, at, y.start + 4)
      svg.label(label(tick), x: at, y: y.start + 17, anchor: .middle)
    }
  }

  mutating func drawTime() {
    drawX(Axis.timeTicks(endSeconds: x.high)) {
      $0 == 0 ? "0" : Figures.plainDuration(UInt64(($0 * 1e9).rounded()))
    }
  }

  /// A name in the legend, with a sample of its line.
  mutating func name(_ name: String, _ style: String) {
    svg.line(style, legendX, 11, legendX + 16, 11)
    svg.label(name, x: legendX + 21, y: 15, style: "name")
    legendX += 36 + 7 * Double(name.count)
  }

  mutating func line(_ name: String, _ style: String, _ points: [(x: Double, y: Double)?]) {
    self.name(name, style)
    svg.line(style, points.map { $0.map { (x.position($0.x), y.position($0.y)) } })
  }

  /// Marks a part of the time that is not measured.
  mutating func shade(_ label: String, _ from: Double, _ to: Double) {
    let start = x.position(from)
    let end = x.position(to)
    guard end - start > 0.5 else { return }
    svg.rectangle("shade", x: start, y: y.end, width: end - start, height: y.start - y.end)
    if end - start > 50 { svg.label(label, x: start + 4, y: y.end + 12) }
  }

  /// A rectangle in values, from the axis up.
  mutating func bar(_ style: String, _ from: Double, _ to: Double, _ low: Double, _ high: Double) {
    let start = x.position(from)
    svg.rectangle(
      style, x: start, y: y.position(high), width: max(0.6, x.position(to) - start - 0.6),
      height: y.position(low) - y.position(high))
  }

  /// An invisible column that tells its numbers when pointed at.
  mutating func hover(_ from: Double, _ to: Double, _ title: String) {
    let start = x.position(from)
    svg.rectangle(
      "hover", x: start, y: y.end, width: max(1, x.position(to) - start), height: y.start - y.end,
      title: title)
  }

  mutating func raw(_ shapes: String) { svg.raw(shapes) }

  var figure: String {
    "<figure><figcaption>\(Svg.escaped(title))</figcaption><svg role=\"img\" aria-label=\""
      + "\(Svg.escaped(title))\" viewBox=\"0 0 \(Svg.number(Self.width)) "
      + "\(Svg.number(Self.height))\">\(svg.text)</svg></figure>\n"
  }
}
