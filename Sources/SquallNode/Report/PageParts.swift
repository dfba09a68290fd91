internal import SquallPage
package import SquallReport
internal import SquallTLS

extension HtmlReport.Parts {
  /// The page's own files.
  package static let ours = Self(
    style: Page.reportStyle, script: Page.reportScript,
    scriptDigest: Base64.encode(sha256(Array(Page.reportScript.utf8))))
}
