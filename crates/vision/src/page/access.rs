//! Who may see the page: everybody on this machine, or whoever knows the password. A browser sends it as HTTP's basic
//! authentication (RFC 7617), under any name; a program may also send it as a bearer token (RFC 6750).

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use data_encoding::BASE64;
use subtle::ConstantTimeEq;

/// Who may see the page.
#[derive(Clone, Default)]
pub enum Access {
    /// Everybody who can connect: for a page that this machine alone can reach.
    #[default]
    Open,
    /// Whoever sends this password, which is not empty.
    Password(String),
}

impl fmt::Debug for Access {
    /// Does not give the password away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_protected() { "Password(…)" } else { "Open" })
    }
}

impl Access {
    /// Whether a password is asked for.
    pub(super) fn is_protected(&self) -> bool {
        matches!(self, Access::Password(password) if !password.is_empty())
    }

    /// Whether a request with these headers is answered.
    pub(super) fn allows(&self, headers: &HeaderMap) -> bool {
        match self {
            Access::Password(password) if self.is_protected() => {
                let given = headers.get(AUTHORIZATION).and_then(|value| given(value.as_bytes()));
                // How long a comparison takes must not tell how much of a guess is right.
                given.is_some_and(|given| password.as_bytes().ct_eq(&given).into())
            }
            _ => true,
        }
    }
}

/// The password in an `Authorization` header.
fn given(header: &[u8]) -> Option<Vec<u8>> {
    let space = header.iter().position(|&byte| byte == b' ')?;
    let (scheme, credentials) = (&header[..space], header[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(credentials.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let mut pair = BASE64.decode(credentials).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some(pair.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(access: &Access, header: Option<&str>) -> bool {
        let headers = header.map(|header| (AUTHORIZATION, header.parse().unwrap())).into_iter().collect();
        access.allows(&headers)
    }

    #[test]
    fn the_password_opens_the_page_in_both_schemes() {
        let access = Access::Password("pass:wörd".to_owned());
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair.as_bytes()));
        for header in [basic("me:pass:wörd"), basic(":pass:wörd"), basic("me:pass:wörd").replace("Basic", "bAsIc")] {
            assert!(allows(&access, Some(&header)), "{header}");
        }
        assert!(allows(&Access::Password("token".to_owned()), Some("Bearer token")));
        for header in [basic("me:pass:wörd2"), basic("me:pass:w"), basic("me:"), basic("pass"), "Basic ?".to_owned()] {
            assert!(!allows(&access, Some(&header)), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "Digest pass", "pass"] {
            assert!(!allows(&Access::Password("pass".to_owned()), Some(header)), "{header}");
        }
        assert!(!allows(&access, None));
        assert!(!format!("{access:?}").contains("pass"));
    }

    #[test]
    fn an_empty_password_protects_nothing_and_is_none() {
        assert!(allows(&Access::Open, None) && !Access::Open.is_protected());
        assert!(!Access::Password(String::new()).is_protected());
    }
}
