/// The files of the page that a master serves, and of the HTML report. They are in the binary: whoever
/// opens either needs nothing from anywhere else.
package enum Page {
  package struct File: Sendable {
    package let name: String
    package let bytes: [UInt8]

    package var text: String { String(decoding: bytes, as: UTF8.self) }
  }

  package static let files: [File] = [
    File(name: "index.html", bytes: PackageResources.index_html),
    File(name: "api.js", bytes: PackageResources.api_js),
    File(name: "app.js", bytes: PackageResources.app_js),
    File(name: "charts.js", bytes: PackageResources.charts_js),
    File(name: "dom.js", bytes: PackageResources.dom_js),
    File(name: "form.js", bytes: PackageResources.form_js),
    File(name: "format.js", bytes: PackageResources.format_js),
    File(name: "change.js", bytes: PackageResources.change_js),
    File(name: "history.js", bytes: PackageResources.history_js),
    File(name: "live.js", bytes: PackageResources.live_js),
    File(name: "page.css", bytes: PackageResources.page_css),
    File(name: "run.js", bytes: PackageResources.run_js),
    File(name: "style.css", bytes: PackageResources.style_css),
  ]

  package static let reportStyle = String(decoding: PackageResources.style_css, as: UTF8.self)

  /// The modules that a report needs, as one script. Each has its imports on lines of their own and
  /// names that no other has, so that to leave imports and exports out is all there is to do.
  package static let reportScript = [
    PackageResources.format_js, PackageResources.dom_js, PackageResources.charts_js,
    PackageResources.run_js, PackageResources.report_js,
  ].map(withoutSeams).joined()

  private static func withoutSeams(_ module: [UInt8]) -> String {
    let lines = String(decoding: module, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    return lines.filter { !$0.hasPrefix("import ") }
      .map { $0.hasPrefix("export ") ? $0.dropFirst(7) : $0 }.joined(separator: "\n")
  }
}
