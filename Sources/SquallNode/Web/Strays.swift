internal import HTTPTypes
internal import Hummingbird
internal import SquallLoad

/// Answers who asks for what there is not, as every other error is answered (RFC 9457): a path of ours
/// with another method, or no path of ours.
struct Strays: RouterMiddleware {
  /// The methods of a path; none for one that is not ours.
  let methods: @Sendable (String) -> [String]

  func handle(
    _ request: Request, context: BasicRequestContext,
    next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch let error as HTTPError where error.status == .notFound {
      return answer(request)
    }
  }

  private func answer(_ request: Request) -> Response {
    let methods = methods(request.uri.path)
    guard !methods.isEmpty else {
      return response(ControlPort.error(.notFound, "there is nothing at this path"), [])
    }
    let list = methods.joined(separator: ", ")
    return response(ControlPort.error(.methodNotAllowed, "this path takes \(list)"), methods)
  }

  private func response(_ answer: ControlPort.Answer, _ methods: [String]) -> Response {
    var headers = ControlPort.headers(answer.type)
    if !methods.isEmpty { headers[.allow] = methods.joined(separator: ", ") }
    return Response(
      status: answer.status, headers: headers, body: .init(byteBuffer: .init(string: answer.text)))
  }
}
