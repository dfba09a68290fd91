internal import HTTPTypes
internal import Hummingbird
internal import SquallLoad

/// The page, and how somebody signs in to it.
extension ControlPort {
  func addPage(to router: Router<BasicRequestContext>) {
    router.get("/") { request, _ in self.page("index.html", request) }
    router.get("assets/:name") { request, context in
      self.page(context.parameters.get("name") ?? "", request)
    }
    router.get("api/session") { request, _ in
      let isSignedIn = self.signIn?.knows(request.headers) ?? false
      return self.answer(
        Self.json(
          .ok,
          .object([
            .init("needs_token", .bool(self.signIn != nil)),
            .init("is_signed_in", .bool(isSignedIn)),
          ])))
    }
    router.post("api/session") { request, _ in await self.beginSession(request) }
    router.delete("api/session") { request, _ in
      if let refusal = self.foreignness(of: request) { return self.answer(refusal) }
      var response = self.answer((.noContent, "", ""))
      response.headers[.setCookie] = self.signIn?.signOut
      return response
    }
  }

  private func page(_ name: String, _ request: Request) -> Response {
    guard isLoopback == false || hasOwnHost(request) else { return answer(Self.foreignHost) }
    return PageFiles.response(name, to: request)
      ?? answer(Self.error(.notFound, "there is no file of that name"))
  }

  private static let tokenDocumentByteCountMax = 8 << 10

  private func beginSession(_ request: Request) async -> Response {
    if let refusal = foreignness(of: request) { return answer(refusal) }
    guard let signIn else {
      return answer(Self.error(.conflict, "nobody has to sign in here"))
    }
    guard let body = try? await request.body.collect(upTo: Self.tokenDocumentByteCountMax),
      let document = try? JSONValue(text: Array(body.readableBytesView)),
      case .string(let token) = document["token"]
    else {
      return answer(Self.error(.unprocessableContent, #"send {"token": "…"}"#))
    }
    switch signIn.signIn(token) {
    case .cookie(let cookie):
      var response = answer((.noContent, "", ""))
      response.headers[.setCookie] = cookie
      return response
    case .wrong: return answer(Self.error(.forbidden, "this is not the token"))
    case .tooMany:
      var response = answer(
        Self.error(.tooManyRequests, "too many wrong tokens: try again in a minute"))
      response.headers[.retryAfter] = "60"
      return response
    }
  }
}
