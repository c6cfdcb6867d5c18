//! Names and passwords of the settings: Argon2id, bounded in attempts and in work, and as slow for names that nobody has.

use super::{Login, SignInError};
use aperium_crds::settings::{Login as Settings, is_password_hash};
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// The longest password that is looked at.
const MAX_PASSWORD: usize = 1024;
/// The shortest that is hashed for somebody.
const MIN_PASSWORD: usize = 12;
/// Attempts for one name within [`WINDOW`], on one replica; names that nobody has share them.
const ATTEMPTS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Passwords that are hashed at a time, and how long one waits for that.
const HASHING: usize = 2;
const WAIT: Duration = Duration::from_secs(5);
/// The most memory (KiB), passes and lanes that a hash of the settings may ask for.
const MOST: (u32, u32, u32) = (256 * 1024, 16, 16);

/// What a name that nobody has is compared with. Without randomness there is none, and then no password is right either.
static NOBODYS: LazyLock<Option<String>> = LazyLock::new(|| {
    let password = aperium_platform::oauth::random().ok()?;
    Argon2::default().hash_password(password.expose_secret().as_bytes()).ok().map(|hash| hash.to_string())
});

/// Why a password is not hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Its length.
    #[error("a password must hold 12 to 1024 bytes")]
    Length,
    /// The hash cannot be made.
    #[error("the password cannot be hashed")]
    Failed,
}

/// The hash of a password, as the settings hold it.
///
/// # Errors
/// [`HashError`]
pub fn hash(password: &SecretString) -> Result<String, HashError> {
    let bytes = password.expose_secret().as_bytes();
    if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&bytes.len()) {
        return Err(HashError::Length);
    }
    Argon2::default().hash_password(bytes).map(|hash| hash.to_string()).map_err(|_| HashError::Failed)
}

/// Who has tried how often.
#[derive(Debug)]
pub(super) struct Attempts {
    counted: Mutex<HashMap<String, (Instant, u32)>>,
    hashing: Semaphore,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { counted: Mutex::default(), hashing: Semaphore::new(HASHING) }
    }
}

impl Attempts {
    /// Counts one more. Only names of the settings are told apart, so there are never more than these and one.
    fn more(&self, name: &str) -> Result<(), SignInError> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.retain(|_, (began, _)| began.elapsed() < WINDOW);
        let (_, times) = counted.entry(name.to_owned()).or_insert_with(|| (Instant::now(), 0));
        *times += 1;
        if *times > ATTEMPTS { Err(SignInError::TooMany) } else { Ok(()) }
    }

    fn forget(&self, name: &str) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

impl Login {
    /// The mark of the password of a local user: a session that was begun with another one has ended.
    ///
    /// # Errors
    /// [`SignInError`]
    pub(crate) async fn check_password(
        &self,
        settings: &Settings,
        name: &str,
        password: SecretString,
    ) -> Result<String, SignInError> {
        if password.expose_secret().len() > MAX_PASSWORD {
            return Err(SignInError::Wrong);
        }
        let known = settings.local.iter().any(|user| user.name == name);
        let counted = if known { name } else { "" };
        self.attempts.more(counted)?;
        let permit = tokio::time::timeout(WAIT, self.attempts.hashing.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(SignInError::TooMany) };
        let hash = self.hash_of(settings, name);
        let mark = hash.as_deref().map(mark);
        let right = tokio::task::spawn_blocking(move || is_right(hash.as_deref(), &password)).await.unwrap_or(false);
        match mark.filter(|_| right) {
            Some(mark) => {
                self.attempts.forget(counted);
                Ok(mark)
            }
            None => Err(SignInError::Wrong),
        }
    }

    /// The mark of the password that a local user has now.
    pub(super) fn mark_of(&self, settings: &Settings, name: &str) -> Option<String> {
        self.hash_of(settings, name).as_deref().map(mark)
    }

    fn hash_of(&self, settings: &Settings, name: &str) -> Option<String> {
        let user = settings.local.iter().find(|user| user.name == name)?;
        let hash = match user.password_hash.as_str() {
            "" => self.file(&format!("local.{name}"))?,
            given => given.to_owned(),
        };
        is_password_hash(&hash).then_some(hash)
    }
}

fn mark(hash: &str) -> String {
    hex::encode(Sha256::digest(hash))
}

/// Does the same work whether there is such a person or not.
fn is_right(hash: Option<&str>, password: &SecretString) -> bool {
    let nobodys = NOBODYS.as_deref().unwrap_or_default();
    let parsed = PasswordHash::new(hash.unwrap_or(nobodys)).ok().filter(is_bounded);
    let Some(parsed) = parsed else { return false };
    let right = Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
    right && hash.is_some()
}

fn is_bounded(hash: &PasswordHash) -> bool {
    Params::try_from(hash)
        .is_ok_and(|params| params.m_cost() <= MOST.0 && params.t_cost() <= MOST.1 && params.p_cost() <= MOST.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_crds::settings::LocalUser;

    fn settings(hash: &str) -> Settings {
        let user = |name: &str, hash: &str| LocalUser {
            name: name.into(),
            password_hash: hash.into(),
            tenant: None,
            groups: Vec::new(),
        };
        Settings { local: vec![user("admin", hash), user("filed", "")], ..Settings::default() }
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_name_alone_wherever_its_hash_is() {
        let password = || SecretString::from("correct horse battery");
        let hash = hash(&password()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("local.filed"), format!("{hash}\n")).unwrap();
        let (login, settings) = (Login::new(Some(folder.path().to_owned())), settings(&hash));
        for name in ["admin", "filed"] {
            let mark = login.check_password(&settings, name, password()).await.unwrap();
            assert_eq!(Some(mark), login.mark_of(&settings, name));
            let wrong = login.check_password(&settings, name, "correct horse batterx".into()).await;
            assert!(matches!(wrong, Err(SignInError::Wrong)));
        }
        for name in ["", "nobody", "Admin", "../admin"] {
            let wrong = login.check_password(&settings, name, password()).await;
            assert!(matches!(wrong, Err(SignInError::Wrong)), "{name}");
        }
        std::fs::write(folder.path().join("local.filed"), "hunter2").unwrap();
        assert!(login.check_password(&settings, "filed", "hunter2".into()).await.is_err(), "no hash, no password");
        assert!(login.check_password(&settings, "admin", "x".repeat(MAX_PASSWORD + 1).into()).await.is_err());
    }

    #[tokio::test]
    async fn guessing_ends_soon_for_one_name_and_for_all_that_nobody_has() {
        let password = || SecretString::from("correct horse battery");
        let (login, settings) = (Login::new(None), settings(&hash(&password()).unwrap()));
        let mut refused = Vec::new();
        for number in 0..ATTEMPTS {
            let guess = login.check_password(&settings, &format!("nobody{number}"), "wrong".into()).await;
            refused.push(matches!(guess, Err(SignInError::Wrong)));
        }
        assert!(refused.iter().all(|wrong| *wrong));
        let more = login.check_password(&settings, "nobody", "wrong".into()).await;
        assert!(matches!(more, Err(SignInError::TooMany)));
        assert!(
            login.check_password(&settings, "admin", password()).await.is_ok(),
            "who guesses locks nobody else out"
        );
    }

    #[test]
    fn a_hash_that_asks_for_too_much_work_is_none() {
        let bounded = |text: &str| PasswordHash::new(text).is_ok_and(|hash| is_bounded(&hash));
        let with = |cost: &str| format!("$argon2id$v=19${cost}$c2FsdHNhbHRzYWx0$cGFzc3dvcmRwYXNzd29yZHBhc3N3b3Jk");
        assert!(bounded(&with("m=19456,t=2,p=1")) && bounded(&with("m=65536,t=3,p=4")));
        assert!(!bounded(&with("m=4194304,t=2,p=1")) && !bounded(&with("m=19456,t=1000,p=1")));
        assert_eq!(hash(&"short".into()), Err(HashError::Length));
    }
}
